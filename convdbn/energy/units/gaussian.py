"""Real-valued units, with a variance that is set or learned."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from convdbn.energy.units.base import Unit
from convdbn.energy.units.registry import register_unit
from convdbn.errors import UsageError
from convdbn.ops.grad import without_gradients


@register_unit
class Gaussian(Unit):
    """Real units: U(x) = |x - b|^2 / (2 s^2), with an explicit scale s, the sigma of Lee et al. (2009).

    Links see x / s^2, so a hidden unit's field is <W, x> / s^2 and the mean of x is b + W^T h: the weights have
    the units of the data for every s, also while training anneals s. Only this class has the 1/s^2.

    >>> Gaussian(2, scale=0.5).mean(torch.tensor([[0.0, 4.0]])).tolist()
    [[0.0, 1.0]]
    """

    kind = "gaussian"
    real = True
    bounds: ClassVar[tuple[float, float]] = (1e-3, 1e3)
    scale: Tensor

    def __init__(self, n: int, scale: float = 1.0) -> None:
        super().__init__(n)
        self._hold_scale()
        self.set_scale(scale)

    def _hold_scale(self) -> None:
        self.register_buffer("scale", torch.ones(()))

    def set_scale(self, scale: float) -> None:
        """Set the standard deviation s given the neighbors, in the units of the data."""
        low, high = self.bounds
        if not low <= scale <= high:
            raise UsageError(f"scale={scale}: must lie in [{low}, {high}]; rescale the data instead")
        self._fill_scale(scale)

    def anneal(self, scale: float) -> None:
        self.set_scale(scale)

    def _fill_scale(self, scale: float) -> None:
        self.scale.fill_(scale)

    def _scale(self, like: Tensor) -> Tensor:
        return self.per_unit(self.scale, like)

    def energy(self, x: Tensor) -> Tensor:
        residual = (x - self.per_unit(self.bias, x)) / self._scale(x)
        return residual.square().flatten(1).sum(1) / 2

    def to_links(self, x: Tensor) -> Tensor:
        return x / self._scale(x).square()

    def log_norm(self, field: Tensor) -> Tensor:
        b, variance = self.per_unit(self.bias, field), self._scale(field).square()
        return (field * (b + variance * field / 2) + torch.log(2 * torch.pi * variance) / 2).flatten(1).sum(1)

    def mean(self, field: Tensor) -> Tensor:
        return self.biased(field * self._scale(field).square())

    def bias_for(self, mean: Tensor) -> Tensor:
        return mean

    def field_for(self, mean: Tensor) -> Tensor:
        return (mean - self.per_unit(self.bias, mean)) / self._scale(mean).square()

    def mode(self, field: Tensor) -> Tensor:
        return self.mean(field)

    @without_gradients
    def mean_and_sample(self, field: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        m = self.mean(field)
        noise = torch.randn(m.shape, generator=generator, device=m.device, dtype=m.dtype)
        return m, noise.mul_(self._scale(m)).add_(m)


@register_unit
class LearnedGaussian(Gaussian):
    """Gaussian units that learn log s^2 from the same contrast as all parameters (Cho, Ilin and Raiko 2011).

    The layer has one that is `shared`, or each unit has its own: a pixel, or a map of a convolutional layer.
    """

    kind = "learned_gaussian"

    def __init__(self, n: int, scale: float = 1.0, *, shared: bool = True) -> None:
        self.shared = shared
        super().__init__(n, scale)

    def spec(self) -> dict[str, Any]:
        return {**super().spec(), "shared": self.shared}

    def _hold_scale(self) -> None:
        self.log_variance = nn.Parameter(torch.zeros(() if self.shared else (self.n,)))

    def _fill_scale(self, scale: float) -> None:
        with torch.no_grad():
            self.log_variance.fill_(2 * torch.tensor(scale).log())

    @property
    def scale(self) -> Tensor:  # type: ignore[override]
        return (self.log_variance / 2).exp()

    def anneal(self, scale: float) -> None:
        """Do nothing: the scale is learned."""

    @torch.no_grad()
    def confine(self) -> None:
        """Bring the scale back into its bounds after an update."""
        self.log_variance.clamp_(*(2 * math.log(bound) for bound in self.bounds))

    def statistics(self, x: Tensor, field: Callable[[], Tensor]) -> list[tuple[nn.Parameter, Tensor]]:
        """Also -dE / d log s^2 = |x - b|^2 / (2 s^2) - <x, field>, where the links' x / s^2 is in the field."""
        residual = (x - self.per_unit(self.bias, x)) / self._scale(x)
        each = (residual.square() / 2 - x * field()).reshape(len(x), self.n, -1).sum(2)
        return [
            *super().statistics(x, field),
            (self.log_variance, each.sum(1, keepdim=True) if self.shared else each),
        ]
