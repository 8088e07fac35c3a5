"""Blocks of C x C units in maps `(B, n, H, W)`; C divides H and W."""

import itertools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def pooled(x: Tensor, block: int) -> Tensor:
    """Pooling units: the sum over each block, `(B, n, H, W)` to `(B, n, H / block, W / block)`.

    >>> pooled(torch.ones(1, 1, 2, 4), 2)
    tensor([[[[4., 4.]]]])
    """
    return x if block == 1 else F.avg_pool2d(x, block, divisor_override=1)


def spread(x: Tensor, block: int) -> Tensor:
    """The adjoint of `pooled`: every unit of a block gets the value of the block.

    >>> spread(torch.tensor([[[[1., 2.]]]]), 2)
    tensor([[[[1., 1., 2., 2.],
              [1., 1., 2., 2.]]]])
    """
    return x if block == 1 else x.repeat_interleave(block, -2).repeat_interleave(block, -1)


def members(x: Tensor, block: int) -> list[Tensor]:
    """The C^2 units of every block, each a view `(B, n, H / C, W / C)`."""
    return [x[..., i::block, j::block] for i, j in _corners(block)]


def assembled(
    like: Tensor,
    block: int,
    operation: Callable[..., Tensor],
    pairs: Sequence[tuple[Tensor, Tensor]],
) -> Tensor:
    """The inverse of `members`, in the shape of `like`, for the operation's results on the pairs."""
    out = torch.empty_like(like, requires_grad=False, memory_format=torch.contiguous_format)
    for (i, j), (left, right) in zip(_corners(block), pairs, strict=True):
        place = out[..., i::block, j::block]
        if torch.is_grad_enabled():
            place.copy_(operation(left, right))
        else:
            operation(left, right, out=place)
    return out


def _corners(block: int) -> Iterator[tuple[int, ...]]:
    return itertools.product(range(block), repeat=2)
