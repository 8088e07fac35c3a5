"""Features of a whole set of pictures, batch by batch."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from convdbn.errors import DataError
from convdbn.fast.memory import keep_freed_memory
from convdbn.images import Images
from convdbn.models.pooling import Pooling
from convdbn.models.stack import Stack

BATCH = 100


class Network(Protocol):
    """What maps pictures `(B, c, H, W)` to the maps of its lowest `depth` layers, such as a `Stack`."""

    def features(self, images: Tensor, *, depth: int) -> list[Tensor]: ...


def extract(stack: Stack, images: Images, layer: int, *, trim: bool = False) -> NDArray[np.float32]:
    """Pooled maps of one layer for every picture, `(N, channels, h, w)`, or `(N, n)` for a fully connected layer.

    Layers count from 1. Only the result grows with the number of pictures.
    """
    if not 1 <= layer <= len(stack.layers):
        raise ValueError(f"layer={layer}: the model has layers 1 to {len(stack.layers)}")
    return streamed(images, lambda batch: stack.features(batch, depth=layer, trim=trim)[-1])


def describe(network: Network, images: Images, pooling: Pooling) -> NDArray[np.float32]:
    """One row of numbers for every picture, `(N, d)`: the maps of the layers of `pooling`, averaged over its grids.

    Only the rows grow with the number of pictures: the maps themselves are never held.
    """
    return streamed(images, lambda batch: pooling(network.features(batch, depth=max(pooling.layers))))


def streamed(images: Images, function: Callable[[Tensor], Tensor]) -> NDArray[np.float32]:
    """`function` of every picture, by batches, or picture by picture where their sizes differ."""
    keep_freed_memory()
    result: NDArray[np.float32] | None = None
    for first in tqdm(range(0, len(images), BATCH), desc="features", unit="batch", disable=None):
        batch = images[torch.arange(first, min(first + BATCH, len(images)))]
        pieces = [batch] if isinstance(batch, torch.Tensor) else [picture[None] for picture in batch]
        maps = [function(piece) for piece in pieces]
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
