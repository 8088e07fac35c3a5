"""Bilinear links between two layers: <y, up(x)> = <down(y), x> for every x and y.

`correlate(x, y)` is the gradient of <y, up(x)> with respect to the weight, summed over the batch: the statistic that
learning compares between data and model, computed once and outside autograd.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight

from convdbn import ops
from convdbn.energy.kinds import enter
from convdbn.errors import UsageError
from convdbn.ops.blocks import pooled, spread

COLUMNS = 2**22
"""Most numbers in the columns of a down pass: the system would map and unmap a larger buffer at every call."""


class Link(nn.Module, ABC):
    """A linear map from the layer below to the layer above, with one weight."""

    kind: ClassVar[str]
    weight: nn.Parameter
    kernel: tuple[int, int] = (0, 0)
    """Height and width of the filters; (0, 0) if every unit sees every unit."""
    pool: int = 1
    """Side of the blocks of the lower layer, whose sums are the pooling units that the link sees."""
    products: torch.dtype | None = None
    """Precision of the products' operands, such as bfloat16; fields and statistics have that of the states."""

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.spec().items() if name != "kind")

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON."""

    @abstractmethod
    def up(self, x: Tensor) -> Tensor:
        """Field of the upper layer, from the state of the lower."""

    def down(self, y: Tensor) -> Tensor:
        """Field of the lower layer, from the state of the upper: the adjoint of `up`."""
        return spread(self.down_to_blocks(y), self.pool)

    @abstractmethod
    def down_to_blocks(self, y: Tensor) -> Tensor:
        """Field of the lower layer's pooling units, which `down` gives to all units of their blocks."""

    @abstractmethod
    def correlate(self, x: Tensor, y: Tensor, *, out: Tensor, alpha: float = 1.0, beta: float = 1.0) -> Tensor:
        """Add `alpha` times d <y, up(x)> / d weight, summed over the batch, to `beta` times `out`, in place."""

    @abstractmethod
    def patches(self, x: Tensor) -> Tensor:
        """What each unit of the upper layer sees of the lower: `(B, ...)` to `(B, positions, inputs)`."""

    def as_module(self) -> nn.Module:
        """A torch module with weight and bias, in this order, that maps the lower layer's pooling units as `up` does.

        Its parameters have torch's initial values. UsageError for kinds of links that have no such module.
        """
        raise UsageError(f"kind={self.kind!r}: these links have no layer for a network; take other layers")

    @property
    def copies(self) -> int:
        """Units of the lower layer in each sum that a weight multiplies."""
        return self.pool**2

    def reach(self, below: tuple[int, ...]) -> float:
        """Share of the filter that reaches a unit of a lower layer of this shape, on average over its positions."""
        above = self.up_shape(below)
        return math.prod(above[1:]) * self.copies / math.prod(below[1:])

    def _product(self, operation: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
        """The operation on operands in the precision of `products`, in that of x."""
        if self.products is None:
            return operation(x, y)
        return operation(x.to(self.products), y.to(self.products)).to(x.dtype)

    @abstractmethod
    def up_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the upper layer, without the batch, over a lower layer of this shape."""

    @abstractmethod
    def down_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the lower layer, without the batch, under an upper layer of this shape."""


LINKS: dict[str, type[Link]] = {}

Kind = TypeVar("Kind", bound=type[Link])


def register_link(link: Kind) -> Kind:
    """Class decorator that registers a kind of link under its `kind`, so that a saved machine can name it.

    UsageError if the class lacks a method of links, or has the kind of another class.
    """
    enter(link, LINKS, Link)
    return link


@register_link
class Dense(Link):
    """Every unit to every unit: up(x) = W x, with W of shape `(above, below)`.

    >>> Dense(784, 500).up(torch.zeros(1, 784)).shape
    torch.Size([1, 500])
    """

    kind = "dense"

    def __init__(self, below: int, above: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(above, below))

    def spec(self) -> dict[str, Any]:
        above, below = self.weight.shape
        return {"kind": self.kind, "below": below, "above": above}

    def up(self, x: Tensor) -> Tensor:
        return self._product(F.linear, x, self.weight)

    def down_to_blocks(self, y: Tensor) -> Tensor:
        return self._product(torch.matmul, y, self.weight)

    def correlate(self, x: Tensor, y: Tensor, *, out: Tensor, alpha: float = 1.0, beta: float = 1.0) -> Tensor:
        if self.products is None:
            return out.addmm_(y.T, x, beta=beta, alpha=alpha)
        return _added(self._product(torch.matmul, y.T, x), out, alpha, beta)

    def patches(self, x: Tensor) -> Tensor:
        return x[:, None]

    def as_module(self) -> nn.Module:
        above, below = self.weight.shape
        return nn.Linear(below, above)

    def up_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        _check_vector(shape)
        return (self.weight.shape[0],)

    def down_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        _check_vector(shape)
        return (self.weight.shape[1],)


@register_link
class Conv(Link):
    """ "Valid" correlation with filters of shape `(above, below, height, width)`, stride 1 (Lee et al. 2009).

    With `pool` C > 1, `up` first sums the lower layer over its C x C blocks, which gives its pooling units, and
    `down` spreads the field over the blocks.

    >>> Conv(1, 40, 9).up(torch.zeros(1, 1, 28, 28)).shape
    torch.Size([1, 40, 20, 20])
    """

    kind = "conv"

    def __init__(self, below: int, above: int, kernel: int | tuple[int, int], pool: int = 1) -> None:
        super().__init__()
        self.kernel = (kernel, kernel) if isinstance(kernel, int) else (kernel[0], kernel[1])
        self.pool = pool
        self.weight = nn.Parameter(torch.zeros(above, below, *self.kernel))

    def spec(self) -> dict[str, Any]:
        above, below = self.weight.shape[:2]
        return {"kind": self.kind, "below": below, "above": above, "kernel": [*self.kernel], "pool": self.pool}

    def up(self, x: Tensor) -> Tensor:
        return self._product(F.conv2d, pooled(x, self.pool), self.weight)

    def down_to_blocks(self, y: Tensor) -> Tensor:
        return self._product(_transposed, y, self.weight)

    def correlate(self, x: Tensor, y: Tensor, *, out: Tensor, alpha: float = 1.0, beta: float = 1.0) -> Tensor:
        gradient = self._product(lambda x, y: conv2d_weight(x, self.weight.shape, y), pooled(x, self.pool), y)
        return _added(gradient, out, alpha, beta)

    def patches(self, x: Tensor) -> Tensor:
        return F.unfold(pooled(x, self.pool), self.kernel).transpose(1, 2)

    def as_module(self) -> nn.Module:
        above, below = self.weight.shape[:2]
        return nn.Conv2d(below, above, self.kernel)

    def up_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        _check_maps(shape)
        above, _, kernel_height, kernel_width = self.weight.shape
        height, width = shape[-2] // self.pool - kernel_height + 1, shape[-1] // self.pool - kernel_width + 1
        if height < 1 or width < 1:
            raise UsageError(
                f"shape={shape}: maps of {shape[-2]}x{shape[-1]} are smaller than a filter of "
                f"{kernel_height}x{kernel_width} on {self.pool}x{self.pool} blocks; use larger pictures or smaller "
                "filters"
            )
        return above, height, width

    def down_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        _check_maps(shape)
        _, below, kernel_height, kernel_width = self.weight.shape
        height, width = shape[-2] + kernel_height - 1, shape[-1] + kernel_width - 1
        return below, height * self.pool, width * self.pool


def _check_vector(shape: tuple[int, ...]) -> None:
    """UsageError for the shape of a layer of maps."""
    if len(shape) != 1:
        raise UsageError(f"shape={shape}: a dense link takes vectors; flatten the maps with x.flatten(1)")


def _check_maps(shape: tuple[int, ...]) -> None:
    """UsageError for the shape of a layer without maps."""
    if len(shape) != 3:
        raise UsageError(f"shape={shape}: a convolutional link takes maps; give (batch, n, height, width)")


def _added(x: Tensor, out: Tensor, alpha: float, beta: float) -> Tensor:
    if beta == 0.0:
        return torch.mul(x, alpha, out=out)  # overwrites all of `out`, also NaN
    return (out if beta == 1.0 else out.mul_(beta)).add_(x, alpha=alpha)


def _transposed(y: Tensor, weight: Tensor) -> Tensor:
    """Transposed convolution; torch's own is slow on a CPU for few channels, and on a GPU for many."""
    few_channels = weight.shape[1] <= 3
    if y.is_cpu and few_channels:
        return _by_columns(y, weight)
    if y.is_cuda and not few_channels:
        return _by_convolution(y, weight)
    return F.conv_transpose2d(y, weight)


def _by_convolution(y: Tensor, weight: Tensor) -> Tensor:
    """Transposed convolution as a "full" one with the filters rotated by 180 degrees."""
    height, width = weight.shape[2:]
    return F.conv2d(y, weight.flip(2, 3).transpose(0, 1), padding=(height - 1, width - 1))


def _by_columns(y: Tensor, weight: Tensor) -> Tensor:
    """Transposed convolution as a matrix product and a fold, some rows of the maps at a time."""
    batch, _, height, width = y.shape
    _, channels, kernel_height, kernel_width = weight.shape
    rows = max(1, COLUMNS // (batch * weight[0].numel() * width))
    if rows >= height:
        return _fold(y, weight)
    x = y.new_zeros(batch, channels, height + kernel_height - 1, width + kernel_width - 1)
    for top in range(0, height, rows):
        part = _fold(y[:, :, top : top + rows], weight)
        x[:, :, top : top + part.shape[2]] += part
    return x


def _fold(y: Tensor, weight: Tensor) -> Tensor:
    """One matrix product, then a fold."""
    _, channels, kernel_height, kernel_width = weight.shape
    batch, _, height, width = y.shape
    # Not `@`, which copies y into another layout when the weight requires a gradient.
    columns = torch.bmm(weight.flatten(1).T.expand(batch, -1, -1), y.flatten(2))
    shape = (channels, height + kernel_height - 1, width + kernel_width - 1)
    return ops.fold(columns, shape, (kernel_height, kernel_width))
