"""Features of a whole set of pictures, batch by batch."""

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from convdbn.errors import DataError
from convdbn.fast.memory import keep_freed_memory
from convdbn.images import Images
from convdbn.models.stack import Stack

BATCH = 100


def extract(stack: Stack, images: Images, layer: int, *, trim: bool = False) -> NDArray[np.float32]:
    """Pooled maps of one layer for every picture, `(N, channels, h, w)`, or `(N, n)` for a fully connected layer.

    Layers count from 1. Only the result grows with the number of pictures.
    """
    keep_freed_memory()
    if not 1 <= layer <= len(stack.machines):
        raise ValueError(f"layer={layer}: the model has layers 1 to {len(stack.machines)}")
    result: NDArray[np.float32] | None = None
    for first in tqdm(range(0, len(images), BATCH), desc="features", unit="batch", disable=None):
        batch = images[torch.arange(first, min(first + BATCH, len(images)))]
        pieces = [batch] if isinstance(batch, torch.Tensor) else [picture[None] for picture in batch]
        maps = [stack.features(piece, depth=layer, trim=trim)[-1] for piece in pieces]
        if result is None:
            result = np.empty((len(images), *maps[0].shape[1:]), np.float32)
        if any(x.shape[1:] != result.shape[1:] for x in maps):
            raise DataError(
                f"images={images.name!r}: pictures of several sizes give feature maps of several sizes; put "
                "{kind: resize, size: 64} first in the recipe's transform, or take the pictures one by one"
            )
        result[first : first + len(batch)] = torch.cat(maps).cpu().numpy()
    assert result is not None
    return result
