"""Which sizes of pictures the filters and pooling blocks of layers can take: a matter of whole numbers alone."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from convdbn.errors import DataError


class Geometry(NamedTuple):
    """Height and width of a layer's filters, (0, 0) where it is fully connected, and side of its pooling blocks."""

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
    """Height (axis 0) or width (axis 1) of the maps that such pictures become; 0 where they do not fit."""
    for layer in layers:
        if layer.dense:
            return side
        side = side - layer.kernel[axis] + 1
        if side < 1 or side % layer.pool:
            return 0
        side //= layer.pool
    return side


def receptive_field(layers: Sequence[Geometry], axis: int) -> tuple[int, int]:
    """Height (axis 0) or width (axis 1) of what one unit of the highest layer sees, and its pixels to the next unit.

    The unit is one of the map before pooling, as patches are cut for. A pooling unit sees what all units of its block
    see, `(pool - 1)` times the step more, and is `pool` steps away from the next.
    """
    side = step = 1
    for above, layer in enumerate(reversed(layers)):
        if above:
            side, step = side * layer.pool, step * layer.pool
        side += layer.kernel[axis] - 1
    return side, step


def nearest_sizes(side: int, layers: Sequence[Geometry], axis: int) -> tuple[int, int]:
    """The largest legal side up to this one (0 where none is) and the smallest above it."""
    below = next((s for s in range(side, 0, -1) if output_side(s, layers, axis)), 0)
    return below, next(s for s in itertools.count(side + 1) if output_side(s, layers, axis))


def trimmed_size(size: Sequence[int], layers: Sequence[Geometry]) -> tuple[int, int]:
    """The largest legal height and width up to these, or these themselves where none is."""
    height, width = (nearest_sizes(side, layers, axis)[0] or side for axis, side in enumerate(size))
    return height, width


def padded_size(size: Sequence[int], layers: Sequence[Geometry]) -> tuple[int, int]:
    """The smallest legal height and width from these on."""
    height, width = (nearest_sizes(side - 1, layers, axis)[1] for axis, side in enumerate(size))
    return height, width


def check_size(size: Sequence[int], layers: Sequence[Geometry], what: str) -> None:
    """Refuse a height and width that do not divide, naming the nearest legal sizes."""
    if all(output_side(side, layers, axis) for axis, side in enumerate(size)):
        return
    height, width = (_legal(side, layers, axis) for axis, side in enumerate(size))
    raise DataError(
        f"{what} of {size[0]}x{size[1]} do not fit {'; '.join(map(str, layers))}: nearest legal heights {height}, "
        f"widths {width}; resize or crop the pictures to one of these"
    )


def _legal(side: int, layers: Sequence[Geometry], axis: int) -> str:
    below, above = nearest_sizes(side, layers, axis)
    if below == side:
        return str(side)
    return f"{below} or {above}" if below else str(above)
