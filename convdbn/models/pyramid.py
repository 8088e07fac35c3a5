"""Maps of a picture as one row of numbers, whose length does not depend on the size of the picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

EPSILON = 0.01
"""Added to the squared length of a window's responses before they are scaled, so that weak responses stay weak."""


@dataclass(frozen=True)
class SpatialPyramid:
    """Means of every map over the cells of one or more grids (spatial pyramid, Lazebnik et al. 2006), to a power.

    Neighboring cells overlap by half, so that a stroke on a border counts in both. Values of fully connected
    layers, which have no grid, are not averaged.

    >>> SpatialPyramid(layers=(1,), grid=(5,))([torch.rand(2, 16, 13, 13)]).shape
    torch.Size([2, 400])
    """

    layers: tuple[int, ...] = (1,)
    """Layers whose maps are described, 1 being the lowest."""
    grid: tuple[int, ...] = (5,)
    """Cells along each side; several numbers make a pyramid."""
    power: float = 0.5
    """Exponent of the means; an exponent below 1 keeps strong responses from drowning the others."""
    window: int = 1
    """Side, in positions, of windows that overlap by half. Maps are first averaged over each window, and the means of
    all maps in one window are scaled to unit length, as in SIFT and HOG, which removes contrast. 1 omits both."""

    def __post_init__(self) -> None:
        for name, values in (("layers", self.layers), ("grid", self.grid)):
            if not values or min(values) < 1:
                raise ValueError(f"{name}={values}: give at least one number, each at least 1")
        if self.window < 1:
            raise ValueError(f"window={self.window}: must be at least 1 position")
        if not self.power > 0:
            raise ValueError(f"power={self.power}: must be positive")

    def __call__(self, maps: Sequence[Tensor]) -> Tensor:
        """Rows `(B, d)`, from the maps of every layer, the lowest first."""
        if max(self.layers) > len(maps):
            raise ValueError(f"layers={self.layers}: the model has layers 1 to {len(maps)}")
        return torch.cat([part for layer in self.layers for part in self._parts(maps[layer - 1])], 1).pow(self.power)

    def _parts(self, maps: Tensor) -> list[Tensor]:
        if maps.ndim == 2:
            return [maps]
        maps = self._normalized(maps) if self.window > 1 else maps
        height, width = maps.shape[2:]
        return [
            (cells(height, side).to(maps) @ maps @ cells(width, side).to(maps).T).flatten(1) for side in self.grid
        ]

    def _normalized(self, maps: Tensor) -> Tensor:
        means = F.avg_pool2d(maps, min(self.window, *maps.shape[2:]), self.window // 2)
        return means / (means.square().sum(1, keepdim=True) + EPSILON).sqrt()


def cells(length: int, count: int) -> Tensor:
    """Averaging weights `(count, length)` of windows that overlap by half and together span the whole length."""
    window = min(length, math.ceil(2 * length / (count + 1)))
    weights = torch.zeros(count, length)
    for index in range(count):
        start = round(index * (length - window) / max(1, count - 1))
        weights[index, start : start + window] = 1 / window
    return weights
