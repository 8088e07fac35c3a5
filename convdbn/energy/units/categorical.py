"""One unit out of many: labels."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convdbn.energy.units.base import Unit, product
from convdbn.energy.units.registry import register_unit
from convdbn.ops.grad import without_gradients
from convdbn.ops.reference import uniform_like


@register_unit
class Categorical(Unit):
    """At every position, one of the `n` units along dimension 1 is on: one-hot labels. U(x) = -<b, x>.

    >>> Categorical(4).mean(torch.zeros(1, 4)).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """

    kind = "categorical"
    limits = (0.0, 1.0)

    def log_norm(self, field: Tensor) -> Tensor:
        return self.biased(field).logsumexp(1, keepdim=True).flatten(1).sum(1)

    def mean(self, field: Tensor) -> Tensor:
        return self.biased(field).softmax(1)

    def bias_for(self, mean: Tensor) -> Tensor:
        return mean.log()

    def as_module(self) -> nn.Module:
        return nn.Softmax(1)

    def mode(self, field: Tensor) -> Tensor:
        return _one_hot(self.biased(field).argmax(1), self.n, field)

    @without_gradients
    def mean_and_sample(self, field: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        p = self.mean(field)
        uniform = uniform_like((p.shape[0], 1, *p.shape[2:]), p, generator)
        # Without the last edge, which rounding could put below the uniform; the last unit takes the rest.
        index = (uniform >= p.cumsum(1)[:, :-1]).sum(1)
        return p, _one_hot(index, self.n, field)

    def states(self, shape: tuple[int, ...]) -> Tensor:
        positions = torch.Size(shape[1:]).numel()
        index = product([float(i) for i in range(self.n)], positions).long()
        return F.one_hot(index, self.n).transpose(1, 2).reshape(-1, *shape).to(self.bias)


def _one_hot(index: Tensor, n: int, like: Tensor) -> Tensor:
    return torch.zeros_like(like).scatter_(1, index.unsqueeze(1), 1.0)
