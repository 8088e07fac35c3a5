"""Which sizes of pictures the filters and pooling blocks of a stack can take: a matter of whole numbers alone."""

import itertools
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

from torch import Tensor
from torch.nn import functional as F

from convdbn.energy import Link, Unit
from convdbn.errors import DataError, UsageError

Sizes = Literal["error", "trim", "pad"]
"""Pictures that filters and pooling blocks do not divide are refused, lose a border, or get one."""


class Geometry(NamedTuple):
    """Height and width of a layer's filters, (0, 0) where it is fully connected, and side of its pooling blocks."""

    kernel: tuple[int, int]
    pool: int

    @property
    def dense(self) -> bool:
        """Whether the layer is fully connected."""
        return self.kernel == (0, 0)


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


def fitted(x: Tensor, layers: Sequence[Geometry], sizes: Sizes = "error") -> Tensor:
    """Transformed pictures `(B, c, H, W)` in a size that filters and pooling blocks of the layers divide.

    "trim" takes a border away, split evenly; "pad" adds one that repeats the pixels at the edge, so that no stroke
    begins there. "error" leaves pictures as they are. DataError for sizes that do not divide then.
    """
    if sizes not in get_args(Sizes):
        raise UsageError(f"sizes={sizes!r}: no such way; choose from {', '.join(get_args(Sizes))}")
    x = trimmed(x, layers) if sizes == "trim" else padded(x, layers) if sizes == "pad" else x
    check_size(x.shape[2:], layers, "pictures (after the transform)")
    return x


def trimmed(x: Tensor, layers: Sequence[Geometry]) -> Tensor:
    """Pictures `x` without the border, split evenly, that the pooling blocks of the layers do not divide."""
    height, width = trimmed_size(x.shape[2:], layers)
    top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
    return x[:, :, top : top + height, left : left + width]


def padded(x: Tensor, layers: Sequence[Geometry]) -> Tensor:
    """Pictures `x` with the border, split evenly, that the pooling blocks of the layers lack."""
    down, right = (new - old for new, old in zip(padded_size(x.shape[2:], layers), x.shape[2:], strict=True))
    border = [right // 2, right - right // 2, down // 2, down - down // 2]
    return F.pad(x, border, mode="replicate") if any(border) else x
