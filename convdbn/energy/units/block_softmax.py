"""Probabilistic max-pooling."""

from typing import Any

import torch
from torch import Tensor, nn

from convdbn import ops
from convdbn.energy.units.base import MARGIN, Unit, product
from convdbn.energy.units.registry import register_unit
from convdbn.errors import UsageError
from convdbn.ops import blocks, pooled, spread
from convdbn.ops.grad import without_gradients


@register_unit
class BlockSoftmax(Unit):
    """Probabilistic max-pooling (Lee et al. 2009, section 3.3): at most one unit of each C x C block of a map is on.

    U(x) = -<b, x>. Each block has C^2 + 1 outcomes, of which the last is "all off", with logit 0. Its pooling unit is
    the sum over the block, which is linear, so the next link takes it.

    >>> round(BlockSoftmax(1, 2).pooling_mean(torch.zeros(1, 1, 2, 2)).item(), 4)
    0.8
    """

    kind = "block_softmax"
    limits = (0.0, 1.0)

    def __init__(self, n: int, block: int = 2) -> None:
        super().__init__(n)
        if block < 1:
            raise UsageError(f"block={block}: is no side of a pooling block; take 1 or more")
        self.pool = block

    def spec(self) -> dict[str, Any]:
        return {**super().spec(), "block": self.pool}

    def log_norm(self, field: Tensor) -> Tensor:
        members = self._members(self.biased(field))
        return torch.stack([torch.zeros_like(members[0]), *members]).logsumexp(0).flatten(1).sum(1)

    def mean(self, field: Tensor) -> Tensor:
        self.check_size(*field.shape[2:])
        return ops.block_softmax_mean(field, self.bias, self.pool)

    def pooling_mean(self, field: Tensor) -> Tensor:
        self.check_size(*field.shape[2:])
        return ops.pooling_mean(field, self.bias, self.pool)

    def bias_for(self, mean: Tensor) -> Tensor:
        members = self._members(mean)
        off = 1 - sum(members[1:], members[0])
        logits = [(member, off) for member in members]
        return blocks.assembled(mean, self.pool, torch.div, logits).log()

    def data_bias(self, mean: Tensor) -> Tensor:
        members = self.pool**2
        mean = mean.clamp(MARGIN / members, (1 - MARGIN) / members)
        return (mean / (1 - members * mean)).log()

    def as_module(self) -> nn.Module:
        return PoolingProbability(self.pool)

    def mode(self, field: Tensor) -> Tensor:
        members = self._members(self.biased(field))
        winner = torch.stack([torch.zeros_like(members[0]), *members]).argmax(0)
        return blocks.assembled(
            field, self.pool, torch.eq, [(winner, winner.new_tensor(i + 1)) for i in range(len(members))]
        )

    @without_gradients
    def mean_and_sample(self, field: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        self.check_size(*field.shape[2:])
        return ops.block_softmax_draw(field, self.bias, self.pool, generator)

    def states(self, shape: tuple[int, ...]) -> Tensor:
        maps, height, width = shape
        block = torch.cat([torch.zeros(1, self.pool**2), torch.eye(self.pool**2)])
        across = (maps, height // self.pool, width // self.pool)
        index = product([float(i) for i in range(len(block))], torch.Size(across).numel()).long()
        whole = block[index].view(-1, *across, self.pool, self.pool)
        return whole.transpose(3, 4).reshape(-1, *shape).to(self.bias)

    def check_size(self, height: int, width: int) -> None:
        """UsageError for maps that do not divide into blocks."""
        if height % self.pool or width % self.pool:
            raise UsageError(
                f"field: maps of {height}x{width} do not divide into {self.pool}x{self.pool} blocks; crop or pad them"
            )

    def _members(self, x: Tensor) -> list[Tensor]:
        """The C^2 units of every block, each a view `(B, n, H / C, W / C)`."""
        self.check_size(*x.shape[2:])
        return blocks.members(x, self.pool)


class _PoolingProbability(torch.autograd.Function):
    """With an explicit derivative, because autograd's own passes over the maps would take most of the time."""

    @staticmethod
    def forward(ctx: Any, field: Tensor, block: int) -> Tensor:
        weights = field.clamp(max=30).exp_()  # above 30, the probability is 1 in float32
        total = pooled(weights, block)
        off = 1 / (1 + total)
        ctx.save_for_backward(weights, off)
        return total * off

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        weights, off = ctx.saved_tensors
        part = gradients[0] * off.square()
        block = weights.shape[-1] // off.shape[-1]
        return weights * spread(part, block), None


class PoolingProbability(nn.Module):
    """Probability that a unit of the block is on, S / (1 + S) with S the sum of exp(field) (Lee et al. 2009, 3.3)."""

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block

    def forward(self, field: Tensor) -> Tensor:
        probability: Tensor = _PoolingProbability.apply(field, self.block)
        return probability
