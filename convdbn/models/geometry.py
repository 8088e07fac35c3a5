"""Which sizes of pictures the filters and pooling blocks of a stack can take: a matter of whole numbers alone."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from convdbn.energy import Link, Unit
from convdbn.errors import DataError


class Geometry(NamedTuple):
    """Height and width of a layer's filters, (0, 0) where it is fully connected, and side of its pooling blocks."""

    kernel: tuple[int, int]
    pool: int


def geometry(link: Link, hidden: Unit) -> Geometry:
    """Filters and blocks of a hidden layer and the link below it."""
    return Geometry(link.kernel, hidden.pool)


def output_side(side: int, layers: Sequence[Geometry], axis: int) -> int:
    """Height (axis 0) or width (axis 1) of the maps that such pictures become; 0 where they do not fit."""
    for kernel, pool in layers:
        if kernel[axis] == 0:
            return side
        side = side - kernel[axis] + 1
        if side < 1 or side % pool:
            return 0
        side //= pool
    return side


def seen(side: int, layers: Sequence[Geometry]) -> tuple[int, int]:
    """Side of the square of pixels that a square of the highest layer's maps depends on, and how many pixels it moves
    for each position of these maps."""
    stride = 1
    for kernel, pool in reversed(layers):
        side, stride = side * pool + max(kernel) - 1, stride * pool
    return side, stride


def receptive_field(layers: Sequence[Geometry], axis: int) -> tuple[int, int]:
    """Height (axis 0) or width (axis 1) of what one unit of the highest layer sees, and its pixels to the next unit.

    The blocks of that layer itself do not count: a pooling unit sees what all its units see.
    """
    side = stride = 1
    for height, (kernel, pool) in enumerate(reversed(layers)):
        if height:
            side, stride = side * pool, stride * pool
        side += kernel[axis] - 1
    return side, stride


def nearest_sizes(side: int, layers: Sequence[Geometry], axis: int) -> tuple[int, int]:
    """The largest legal side up to this one (0 where none is) and the smallest above it."""
    below = next((s for s in range(side, 0, -1) if output_side(s, layers, axis)), 0)
    return below, next(s for s in itertools.count(side + 1) if output_side(s, layers, axis))


def trimmed_size(size: Sequence[int], layers: Sequence[Geometry]) -> tuple[int, int]:
    """The largest legal height and width up to these, or these themselves where none is."""
    height, width = (nearest_sizes(side, layers, axis)[0] or side for axis, side in enumerate(size))
    return height, width


def check_size(size: Sequence[int], layers: Sequence[Geometry], what: str) -> None:
    """Refuse a height and width that do not divide, naming the nearest legal sizes."""
    if all(output_side(side, layers, axis) for axis, side in enumerate(size)):
        return
    height, width = (_legal(side, layers, axis) for axis, side in enumerate(size))
    shapes = ", ".join(f"{kernel[0]}x{kernel[1]} / {pool}" for kernel, pool in layers)
    raise DataError(
        f"{what} of {size[0]}x{size[1]} do not fit filters and pooling blocks {shapes}: nearest legal heights "
        f"{height}, widths {width}; resize or crop the pictures to one of these"
    )


def _legal(side: int, layers: Sequence[Geometry], axis: int) -> str:
    below, above = nearest_sizes(side, layers, axis)
    if below == side:
        return str(side)
    return f"{below} or {above}" if below else str(above)


def trimmed(x: Tensor, layers: Sequence[Geometry]) -> Tensor:
    """Pictures `x` without the border, split evenly, that the pooling blocks of the layers do not divide."""
    height, width = trimmed_size(x.shape[2:], layers)
    top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
    return x[:, :, top : top + height, left : left + width]
