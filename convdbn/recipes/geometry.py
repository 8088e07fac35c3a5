"""Sizes of pictures that the filters and pooling blocks of layers can take: arithmetic of whole numbers."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from convdbn.errors import DataError


class Geometry(NamedTuple):
    """Height and width of a layer's filters, (0, 0) if it is fully connected, and side of its pooling blocks."""

    kernel: tuple[int, int]
    pool: int

    @property
    def dense(self) -> bool:
        """Whether the layer is fully connected."""
        return self.kernel == (0, 0)

    def __str__(self) -> str:
        if self.dense:
            return "connected"
        return f"filters {self.kernel[0]}x{self.kernel[1]}, blocks {self.pool}x{self.pool}"


def output_side(side: int, layers: Sequence[Geometry], axis: int) -> int:
    """Height (axis 0) or width (axis 1) of the highest maps for pictures of this side; 0 if it does not fit."""
    for layer in layers:
        if layer.dense:
            return side
        side = side - layer.kernel[axis] + 1
        if side < 1 or side % layer.pool:
            return 0
        side //= layer.pool
    return side


def receptive_field(layers: Sequence[Geometry], axis: int) -> tuple[int, int]:
    """Height (axis 0) or width (axis 1) of what a unit of the highest layer sees, and the step to the next unit, in
    pixels.

    This is a unit before pooling, because patches are cut for such units. A pooling unit sees what all units of its
    block see, `(pool - 1)` steps more, and the next one is `pool` steps away.
    """
    side = step = 1
    for above, layer in enumerate(reversed(layers)):
        if above:
            side, step = side * layer.pool, step * layer.pool
        side += layer.kernel[axis] - 1
    return side, step


def nearest_sizes(side: int, layers: Sequence[Geometry], axis: int) -> tuple[int, int]:
    """The largest legal side up to this one (0 if there is none) and the smallest above it."""
    below = next((s for s in range(side, 0, -1) if output_side(s, layers, axis)), 0)
    return below, next(s for s in itertools.count(side + 1) if output_side(s, layers, axis))


def trimmed_size(size: Sequence[int], layers: Sequence[Geometry]) -> tuple[int, int]:
    """The largest legal height and width up to these, or these themselves if there is none."""
    height, width = (nearest_sizes(side, layers, axis)[0] or side for axis, side in enumerate(size))
    return height, width


def padded_size(size: Sequence[int], layers: Sequence[Geometry]) -> tuple[int, int]:
    """The smallest legal height and width that are not below these."""
    height, width = (nearest_sizes(side - 1, layers, axis)[1] for axis, side in enumerate(size))
    return height, width


def check_size(size: Sequence[int], layers: Sequence[Geometry]) -> None:
    """DataError, with the nearest legal sizes, for transformed pictures of a size that the layers cannot take."""
    if all(output_side(side, layers, axis) for axis, side in enumerate(size)):
        return
    height, width = (_legal(side, layers, axis) for axis, side in enumerate(size))
    raise DataError(
        f"images={size[0]}x{size[1]} (after the transform): do not fit {', then '.join(map(str, layers))}; resize or "
        f"crop them to the nearest legal heights {height}, widths {width}"
    )


def _legal(side: int, layers: Sequence[Geometry], axis: int) -> str:
    below, above = nearest_sizes(side, layers, axis)
    if below == side:
        return str(side)
    return f"{below} or {above}" if below else str(above)
