"""Binary units."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convdbn import ops
from convdbn.energy.units.base import Unit, product
from convdbn.energy.units.registry import register_unit
from convdbn.ops.grad import without_gradients


@register_unit
class Bernoulli(Unit):
    """Binary units, x in {0, 1}: U(x) = -<b, x>.

    >>> Bernoulli(2).mean(torch.tensor([[0.0, 100.0]])).tolist()
    [[0.5, 1.0]]
    """

    kind = "bernoulli"
    limits = (0.0, 1.0)
    binary = True

    def log_norm(self, field: Tensor) -> Tensor:
        return F.softplus(self.biased(field)).flatten(1).sum(1)

    def mean(self, field: Tensor) -> Tensor:
        return ops.logistic_mean(field, self.bias)

    def bias_for(self, mean: Tensor) -> Tensor:
        return mean.logit()

    def as_module(self) -> nn.Module:
        return nn.Sigmoid()

    def mode(self, field: Tensor) -> Tensor:
        return (self.biased(field) > 0).to(field.dtype)

    @without_gradients
    def mean_and_sample(self, field: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return ops.logistic_draw(field, self.bias, generator)

    def states(self, shape: tuple[int, ...]) -> Tensor:
        return product([0.0, 1.0], torch.Size(shape).numel()).view(-1, *shape).to(self.bias)
