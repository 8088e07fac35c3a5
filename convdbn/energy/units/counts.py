"""Units that count: copies of a Bernoulli unit with the same weights, finitely or infinitely many."""

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convdbn.energy.units.base import Unit, product
from convdbn.energy.units.registry import register_unit
from convdbn.errors import UsageError
from convdbn.ops.grad import without_gradients


@register_unit
class Binomial(Unit):
    """The number of `trials` Bernoulli copies that are on, x in 0..N (Teh and Hinton 2001, RBM-rate).

    U(x) = -<b, x> - log C(N, x), so that log_norm = N softplus(field + b).

    >>> Binomial(1, trials=4).mean(torch.zeros(1, 1)).item()
    2.0
    """

    kind = "binomial"

    def __init__(self, n: int, trials: int = 1) -> None:
        super().__init__(n)
        if trials < 1:
            raise UsageError(f"trials={trials}: a unit counts copies; take 1 or more")
        self.trials, self.limits = trials, (0.0, float(trials))

    def spec(self) -> dict[str, Any]:
        return {**super().spec(), "trials": self.trials}

    def energy(self, x: Tensor) -> Tensor:
        count = torch.lgamma(x.new_tensor(self.trials + 1)) - torch.lgamma(x + 1) - torch.lgamma(self.trials - x + 1)
        return super().energy(x) - count.flatten(1).sum(1)

    def log_norm(self, field: Tensor) -> Tensor:
        return self.trials * F.softplus(self.biased(field)).flatten(1).sum(1)

    def mean(self, field: Tensor) -> Tensor:
        return self.trials * self.biased(field).sigmoid()

    def bias_for(self, mean: Tensor) -> Tensor:
        return (mean / self.trials).logit()

    def as_module(self) -> nn.Module:
        return ScaledSigmoid(self.trials)

    def mode(self, field: Tensor) -> Tensor:
        return ((self.trials + 1) * self.biased(field).sigmoid()).floor().clamp(max=self.trials)

    @without_gradients
    def mean_and_sample(self, field: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        p = self.biased(field).sigmoid()
        return self.trials * p, torch.binomial(torch.full_like(p, self.trials), p, generator=generator)

    def states(self, shape: tuple[int, ...]) -> Tensor:
        counts = [float(count) for count in range(self.trials + 1)]
        return product(counts, torch.Size(shape).numel()).view(-1, *shape).to(self.bias)


class ScaledSigmoid(nn.Module):
    """N sigmoid(field), the mean of N Bernoulli copies."""

    def __init__(self, trials: int) -> None:
        super().__init__()
        self.trials = trials

    def forward(self, field: Tensor) -> Tensor:
        return self.trials * field.sigmoid()


@register_unit
class NoisyReLU(Unit):
    """An approximation: infinitely many Bernoulli copies with biases falling by 1 (Nair and Hinton 2010).

    Of the copies at b - 1/2, b - 3/2, ... `mean` softplus(f + b) and `log_norm`, its integral, are exact to .011 and
    .042 at any field. Draws are max(0, f + b + N(0, sigmoid(f + b))), which fall short of the mean by up to .41, near
    f + b = 0, and by less than .05 above 3. The energy is the Legendre dual of log_norm and comes from
    no sum over states: likelihoods are those of the copies, and hold only if the layer is summed out.

    >>> round(NoisyReLU(1).mean(torch.zeros(1, 1)).item(), 4)
    0.6931
    """

    kind = "noisy_relu"
    limits = (0.0, math.inf)

    def energy(self, x: Tensor) -> Tensor:
        inverse = _inverse_softplus(x)
        return super().energy(x) + (inverse * x - _integral(inverse)).flatten(1).sum(1)

    def log_norm(self, field: Tensor) -> Tensor:
        return _integral(self.biased(field)).flatten(1).sum(1)

    def mean(self, field: Tensor) -> Tensor:
        return F.softplus(self.biased(field))

    def bias_for(self, mean: Tensor) -> Tensor:
        return _inverse_softplus(mean)

    def as_module(self) -> nn.Module:
        return nn.Softplus()

    def mode(self, field: Tensor) -> Tensor:
        return self.biased(field).clamp(min=0)

    @without_gradients
    def mean_and_sample(self, field: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        f = self.biased(field)
        noise = torch.randn(f.shape, generator=generator, device=f.device, dtype=f.dtype)
        return F.softplus(f), noise.mul_(f.sigmoid().sqrt()).add_(f).clamp_(min=0)


def _inverse_softplus(x: Tensor) -> Tensor:
    return x + torch.log(-torch.expm1(-x.clamp(min=1e-30)))


@cache
def _nodes() -> tuple[list[float], list[float]]:
    nodes, weights = np.polynomial.legendre.leggauss(16)
    return ((nodes + 1) / 2).tolist(), (weights / 2).tolist()


def _integral(f: Tensor) -> Tensor:
    """Integral of softplus from -infinity to f, which is -Li2(-exp(f)).

    Gauss-Legendre over u in log(1 + u e^f) / u for f <= 0, to 1e-12; above 0 by the reflection of the dilogarithm.
    """
    below = (-f.abs()).exp()
    total = torch.zeros_like(f)
    for node, weight in zip(*_nodes(), strict=True):
        total = total + weight * torch.log1p(node * below) / node
    return torch.where(f > 0, f.square() / 2 + torch.pi**2 / 6 - total, total)
