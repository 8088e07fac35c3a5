"""Probabilistic max-pooling."""

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from convdbn import ops
from convdbn.energy.links import pooled, spread
from convdbn.energy.units.base import MARGIN, Unit, product, uniform_like
from convdbn.energy.units.registry import register_unit
from convdbn.ops.grad import without_gradients


@register_unit
class BlockSoftmax(Unit):
    """Probabilistic max-pooling (Lee et al. 2009, section 3.3): at most one unit on in each C x C block of a map.

    U(x) = -<b, x>. Each block is one draw out of C^2 + 1 outcomes, the last being "all off" with logit 0. Its pooling
    unit is the sum over the block, which is linear and therefore left to the next link.
    """

    kind = "block_softmax"
    limits = (0.0, 1.0)

    def __init__(self, n: int, block: int = 2) -> None:
        super().__init__(n)
        if block < 1:
            raise ValueError(f"block={block}: the side of a pooling block is at least 1")
        self.pool = block

    def spec(self) -> dict[str, Any]:
        return {**super().spec(), "block": self.pool}

    def log_norm(self, field: Tensor) -> Tensor:
        members = self._members(self.biased(field))
        return torch.stack([torch.zeros_like(members[0]), *members]).logsumexp(0).flatten(1).sum(1)

    def mean(self, field: Tensor) -> Tensor:
        if self._by_kernel(field):
            return ops.block_softmax(field, self.bias, self.pool, None)[0]
        # One strided read for each member and contiguous buffers in between: this is the sampler's hot spot.
        b = self.per_unit(self.bias, field)
        members = [member + b for member in self._members(field)]
        peak = members[0].detach().clamp(min=0)  # cancels, so no gradient goes through it
        for member in members[1:]:
            peak = torch.maximum(peak, member.detach())
        total = (-peak).exp_()
        for member in members:
            total = total + member.sub_(peak).exp_()
        scale = total.reciprocal_()
        return self._assemble(field, torch.mul, [(member, scale) for member in members])

    def pooling_mean(self, field: Tensor) -> Tensor:
        if self._by_kernel(field):
            return ops.pooling_mean(field, self.bias, self.pool)
        # Rounding can carry the sum above 1, which Bernoulli units of the next layer refuse.
        return pooled(self.mean(field), self.pool).clamp(max=1)

    def bias_for(self, mean: Tensor) -> Tensor:
        members = self._members(mean)
        off = 1 - sum(members[1:], members[0])
        logits = [(member, off) for member in members]
        return self._assemble(mean, torch.div, logits).log()

    def data_bias(self, mean: Tensor) -> Tensor:
        members = self.pool**2
        mean = mean.clamp(MARGIN / members, (1 - MARGIN) / members)
        return (mean / (1 - members * mean)).log()

    def as_module(self) -> nn.Module:
        return PoolingProbability(self.pool)

    def mode(self, field: Tensor) -> Tensor:
        members = self._members(self.biased(field))
        winner = torch.stack([torch.zeros_like(members[0]), *members]).argmax(0)
        return self._assemble(field, torch.eq, [(winner, winner.new_tensor(i + 1)) for i in range(len(members))])

    @without_gradients
    def mean_and_sample(self, field: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        if self._by_kernel(field):
            return ops.block_softmax(field, self.bias, self.pool, generator)
        mean = self.mean(field)
        members = self._members(mean)
        uniform = uniform_like(members[0].shape, members[0], generator)
        # A member is on where the uniform falls between its two cumulative edges; "all off" is what remains.
        edge = torch.zeros_like(uniform)
        below = [edge]
        for member in members:
            edge = edge + member
            below.append(torch.lt(uniform, edge, out=torch.empty_like(uniform)))
        return mean, self._assemble(field, torch.sub, list(zip(below[1:], below[:-1], strict=True)))

    def states(self, shape: tuple[int, ...]) -> Tensor:
        maps, height, width = shape
        block = torch.cat([torch.zeros(1, self.pool**2), torch.eye(self.pool**2)])
        across = (maps, height // self.pool, width // self.pool)
        index = product([float(i) for i in range(len(block))], torch.Size(across).numel()).long()
        blocks = block[index].view(-1, *across, self.pool, self.pool)
        return blocks.transpose(3, 4).reshape(-1, *shape).to(self.bias)

    def check_size(self, height: int, width: int) -> None:
        """Refuse maps that do not divide into blocks."""
        if height % self.pool or width % self.pool:
            raise ValueError(f"maps of {height}x{width} do not divide into {self.pool}x{self.pool} blocks")

    def _by_kernel(self, field: Tensor) -> bool:
        """Whether the kernels take this field, which they do not check themselves."""
        self.check_size(*field.shape[2:])
        return ops.usable(field)

    def _members(self, x: Tensor) -> list[Tensor]:
        """The C^2 units of every block, as strided views `(B, n, H / C, W / C)`."""
        self.check_size(*x.shape[2:])
        return [x[..., i :: self.pool, j :: self.pool] for i, j in self._corners()]

    def _assemble(self, like: Tensor, operation: Any, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
        """The inverse of `_members`, in the shape of `like`: the operation's result on each pair, in its place."""
        out = torch.empty_like(like, requires_grad=False, memory_format=torch.contiguous_format)
        for (i, j), (left, right) in zip(self._corners(), pairs, strict=True):
            place = out[..., i :: self.pool, j :: self.pool]
            if torch.is_grad_enabled():
                place.copy_(operation(left, right))
            else:
                operation(left, right, out=place)
        return out

    def _corners(self) -> Iterator[tuple[int, ...]]:
        return itertools.product(range(self.pool), repeat=2)


class _PoolingProbability(torch.autograd.Function):
    """Its derivative is written out, because autograd's own passes over the maps would take most of the time."""

    @staticmethod
    def forward(ctx: Any, field: Tensor, block: int) -> Tensor:
        weights = field.clamp(max=30).exp_()  # beyond, the probability is 1 in float32
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
        return _PoolingProbability.apply(field, self.block)
