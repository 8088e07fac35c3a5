"""The geometry of a layer, and pictures cut or padded to a size that the layers can take."""

from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor
from torch.nn import functional as F

from convdbn.energy import Link, Unit
from convdbn.errors import UsageError
from convdbn.recipes.geometry import Geometry, check_size, padded_size, trimmed_size

Sizes = Literal["error", "trim", "pad"]
"""Pictures that filters and pooling blocks do not divide are refused, cut, or padded."""


def geometry(link: Link, hidden: Unit) -> Geometry:
    """Filters and blocks of a hidden layer and the link below it."""
    return Geometry(link.kernel, hidden.pool)


def fitted(x: Tensor, layers: Sequence[Geometry], sizes: Sizes = "error") -> Tensor:
    """Transformed pictures `(B, c, H, W)` in a size that filters and pooling blocks of the layers divide.

    "trim" cuts a border off, half of it on each side. "pad" adds one that repeats the pixels at the edge, so that no
    stroke begins there. "error" leaves pictures as they are. DataError where the size still does not divide.
    """
    if sizes not in get_args(Sizes):
        raise UsageError(f"sizes={sizes!r}: no such choice; choose from {', '.join(get_args(Sizes))}")
    x = trimmed(x, layers) if sizes == "trim" else padded(x, layers) if sizes == "pad" else x
    check_size(x.shape[2:], layers)
    return x


def trimmed(x: Tensor, layers: Sequence[Geometry]) -> Tensor:
    """Pictures `x`, cut evenly on both sides to the largest size that the layers can take."""
    height, width = trimmed_size(x.shape[2:], layers)
    top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
    return x[:, :, top : top + height, left : left + width]


def padded(x: Tensor, layers: Sequence[Geometry]) -> Tensor:
    """Pictures `x`, padded evenly on both sides to the smallest size that the layers can take."""
    down, right = (new - old for new, old in zip(padded_size(x.shape[2:], layers), x.shape[2:], strict=True))
    border = [right // 2, right - right // 2, down // 2, down - down // 2]
    return F.pad(x, border, mode="replicate") if any(border) else x
