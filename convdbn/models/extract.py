"""Features of a whole set of pictures, batch by batch."""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from convdbn.errors import DataError
from convdbn.images import Images
from convdbn.models.fitting import Sizes
from convdbn.models.pyramid import SpatialPyramid
from convdbn.models.stack import Stack
from convdbn.ops.memory import keep_freed_memory

BATCH = 100
PIXELS = BATCH * 64 * 64
"""Most pictures, and most pixels, in one batch: a batch of large pictures holds fewer."""


class Network(Protocol):
    """A model that turns pictures `(B, c, H, W)` into the maps of its lowest `depth` layers, such as a `Stack`."""

    def features(self, images: Tensor, *, depth: int) -> list[Tensor]: ...


def extract(stack: Stack, images: Images, layer: int, *, sizes: Sizes = "error") -> NDArray[np.float32]:
    """Pooled maps of one layer for every picture, `(N, channels, h, w)`, or `(N, n)` for a fully connected layer.

    Layers count from 1. Apart from the result, memory does not grow with the number of pictures.
    """
    stack.layer(layer)
    return streamed(images, lambda batch: stack.features(batch, depth=layer, sizes=sizes)[-1])


def describe(network: Network, images: Images, pooling: SpatialPyramid) -> NDArray[np.float32]:
    """One row of numbers for every picture, `(N, d)`: the maps of the layers of `pooling`, averaged over its grids.

    Apart from the rows, memory does not grow with the number of pictures: maps are discarded batch by batch.
    """
    return streamed(images, lambda batch: pooling(network.features(batch, depth=max(pooling.layers))))


def streamed(images: Images, function: Callable[[Tensor], Tensor]) -> NDArray[np.float32]:
    """The results of `function` for all pictures, in one array. `function` takes a batch, or one picture where sizes
    differ."""
    result: NDArray[np.float32] | None = None
    for first, batch in pieces(images):
        maps = function(batch)
        if result is None:
            result = np.empty((len(images), *maps.shape[1:]), np.float32)
        if maps.shape[1:] != result.shape[1:]:
            raise DataError(
                f"images={images.name!r}: pictures of several sizes give feature maps of several sizes; put "
                "{kind: resize, size: 64} first in the recipe's transform, or pass the pictures one at a time"
            )
        result[first : first + len(batch)] = maps.cpu().numpy()
    assert result is not None
    return result


def pieces(images: Images) -> Iterator[tuple[int, Tensor]]:
    """All pictures in order, as batches `(B, c, h, w)`, each with the index of its first picture.

    A picture is a batch of its own where sizes differ. Batches depend only on the sizes of the pictures and not on
    where they are stored, so the same pixels give the same bits.
    """
    keep_freed_memory()
    for first in tqdm(range(0, len(images), BATCH), desc="features", unit="batch", disable=None):
        batch = images[torch.arange(first, min(first + BATCH, len(images)))]
        same_size = len({picture.shape for picture in batch}) == 1
        count = max(1, PIXELS // batch[0][0].numel()) if same_size else 1
        for start in range(0, len(batch), count):
            part = batch[start : start + count]
            yield first + start, part if isinstance(part, Tensor) else torch.stack(part)
