"""The base of all kinds of units.

A unit depends only on the field that reaches it from its neighbors. With its own energy U, a layer x in a field f has
the density exp(<f, x> - U(x)) / exp(log_norm(f)). One law follows for every unit:

    mean(f) = d log_norm(f) / d f        log_norm(f) = log sum_x (or integral) exp(<f, x> - U(x))

Fields and states share a shape: `(B, n)` for dense layers, `(B, n, H, W)` for convolutional ones. A layer has a
bias for each of its n units or maps and no spatial size, so a model of patches runs on whole images.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from convdbn.errors import DataError, UsageError
from convdbn.ops.reference import per_unit

MOST_STATES = 2**22
"""Largest number of states to enumerate: some hundred megabytes."""
MARGIN = 0.01
"""Means stay this far from the limits of their units, where the bias would be infinite."""


class Unit(nn.Module, ABC):
    """A layer of `n` units (dense) or `n` maps of units (convolutional) with a bias each."""

    kind: ClassVar[str]
    limits: tuple[float, float] = (-math.inf, math.inf)
    """Lowest and highest state of a unit."""
    pool: int = 1
    """Side of the blocks of units that one pooling unit sums."""
    binary: ClassVar[bool] = False
    """Whether states are 0 or 1, so that a number between them is the probability of a 1."""
    real: ClassVar[bool] = False
    """Whether states are real numbers, with a standard deviation `scale` and a bias that is their mean."""
    scale: Tensor

    def __init__(self, n: int) -> None:
        super().__init__()
        if n < 1:
            raise UsageError(f"n={n}: a layer needs units; take 1 or more")
        self.n = n
        self.bias = nn.Parameter(torch.zeros(n))

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.spec().items() if name != "kind")

    def spec(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON."""
        return {"kind": self.kind, "n": self.n}

    def energy(self, x: Tensor) -> Tensor:
        """U(x), own energy without any field: `(B, ...)` to `(B,)`."""
        return -x.flatten(2).sum(2) @ self.bias if x.ndim > 2 else -x @ self.bias

    def statistics(self, x: Tensor, field: Callable[[], Tensor]) -> list[tuple[nn.Parameter, Tensor]]:
        """Parameters that learn, each with its statistics `(B, numbers)`: minus the gradient of own energy, without
        terms that do not depend on x. `field` computes the field that reaches the layer."""
        bias = self.bias
        if not bias.requires_grad:
            return []
        x = self.to_links(x)
        return [(bias, x if x.ndim == 2 else x.sum((2, 3)))]

    def to_links(self, x: Tensor) -> Tensor:
        """The state as the links see it; its transpose, which is the same map, takes a link's field back to x."""
        return x

    def anneal(self, scale: float) -> None:
        """Set the standard deviation, if the units have one that training sets."""

    def confine(self) -> None:
        """Bring parameters back into their bounds after an update."""

    @abstractmethod
    def log_norm(self, field: Tensor) -> Tensor:
        """Logarithm of the normalizer, summed over the layer: `(B, ...)` to `(B,)`."""

    @abstractmethod
    def mean(self, field: Tensor) -> Tensor:
        """Expected state, same shape as the field."""

    def pooling_mean(self, field: Tensor) -> Tensor:
        """Expected state of the layer's pooling units, which are the units themselves without pooling."""
        return self.mean(field)

    @abstractmethod
    def bias_for(self, mean: Tensor) -> Tensor:
        """The bias that makes `mean`, inside the units' limits, the expected state without a field; same shape."""

    def field_for(self, mean: Tensor) -> Tensor:
        """The inverse of `mean`: a field that makes this the expected state, inside the units' limits."""
        return self.bias_for(mean) - self.per_unit(self.bias, mean)

    def data_bias(self, mean: Tensor) -> Tensor:
        """The bias that makes `mean` of the data, `(n,)`, the expected state of each unit or map without a field."""
        low, high = self.limits
        return self.bias_for(mean.clamp(low + MARGIN, high - MARGIN))

    def as_module(self) -> nn.Module:
        """A torch module that turns a field, with the bias in it, into the means of the pooling units.

        UsageError for kinds of units that have no such module.
        """
        raise UsageError(f"kind={self.kind!r}: these units have no activation for a network; take other layers")

    @abstractmethod
    def mode(self, field: Tensor) -> Tensor:
        """Most probable state, same shape as the field."""

    @abstractmethod
    def mean_and_sample(self, field: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`mean(field)` and a draw, each in the shape of the field."""

    def sample(self, field: Tensor, *, generator: torch.Generator) -> Tensor:
        """A draw, same shape as the field."""
        return self.mean_and_sample(field, generator=generator)[1]

    def states(self, shape: tuple[int, ...]) -> Tensor:
        """Every state of one layer of this shape (without the batch): `(S, *shape)`."""
        raise UsageError(
            f"kind={self.kind!r}: these units cannot be enumerated; keep them in the color that is summed exactly"
        )

    def check(self, x: Tensor, what: str) -> None:
        """DataError for pictures or maps `x` that are no state of this layer; the message calls them `what`."""
        if x.ndim not in (2, 4) or x.shape[1] != self.n:
            dense = x.ndim == 2
            shapes = f"(batch, {self.n})" if dense else f"(batch, {self.n}) or (batch, {self.n}, height, width)"
            remedy = f"resize the pictures to {self.n} values" if dense else f"convert them to {self.n} channel(s)"
            raise DataError(
                f"{what}={tuple(x.shape)}: the model takes {shapes}; {remedy}, or train a model on such pictures"
            )
        low, high = (float(extreme) for extreme in x.aminmax())  # one pass, which NaN comes through
        if not math.isfinite(low) or not math.isfinite(high):
            bad = int((~torch.isfinite(x)).flatten(1).any(1).nonzero()[0])
            raise DataError(f"{what}: has a NaN or infinite pixel in picture {bad} of the batch; remove or repair it")
        if low < self.limits[0] or high > self.limits[1]:
            raise DataError(
                f"{what}: has values from {low:.4g} to {high:.4g}, but {type(self).__name__} units take "
                f"[{self.limits[0]:g}, {self.limits[1]:g}]; scale the pictures (divide bytes by 255), or give the "
                "layer Gaussian visible units"
            )

    def biased(self, field: Tensor) -> Tensor:
        """Field plus bias."""
        return field + self.per_unit(self.bias, field)

    per_unit = staticmethod(per_unit)


def product(values: list[float], repeat: int) -> Tensor:
    """Every combination of `repeat` values, one per row; UsageError, before it asks for memory, for more than
    `MOST_STATES`."""
    if len(values) ** repeat > MOST_STATES:
        raise UsageError(
            f"shapes: a layer of {repeat} units has {len(values)}^{repeat} states, more than the {MOST_STATES:,} "
            "that are enumerated; sum over the other color, or estimate with convdbn.sampling.ais"
        )
    grid = torch.cartesian_prod(*[torch.tensor(values)] * repeat)
    return grid.view(-1, repeat)
