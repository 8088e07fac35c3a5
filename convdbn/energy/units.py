"""The kinds of units a layer can be made of.

A unit knows only the field that reaches it from its neighbours. With own energy U, a layer x in a field f has the
density exp(<f, x> - U(x)) / exp(log_norm(f)), from which one law follows that every unit here obeys:

    mean(f) = d log_norm(f) / d f        log_norm(f) = log sum_x (or integral) exp(<f, x> - U(x))

Fields and states share a shape: `(B, n)` for dense layers, `(B, n, H, W)` for convolutional ones. Units hold one bias
for each of their n units or maps and no spatial size, so what was trained on patches runs on whole images.
"""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convdbn import fast
from convdbn.energy.links import pooled
from convdbn.errors import DataError
from convdbn.fast.grad import without_gradients


class Unit(nn.Module, ABC):
    """A layer of `n` units (dense) or `n` maps of units (convolutional) with a bias each."""

    kind: ClassVar[str]
    limits: tuple[float, float] = (-math.inf, math.inf)
    """Lowest and highest state of a unit."""

    def __init__(self, n: int) -> None:
        super().__init__()
        if n < 1:
            raise ValueError(f"n={n}: a layer needs at least one unit")
        self.n = n
        self.bias = nn.Parameter(torch.zeros(n))

    def spec(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON."""
        return {"kind": self.kind, "n": self.n}

    def energy(self, x: Tensor) -> Tensor:
        """U(x), own energy without any field: `(B, ...)` to `(B,)`."""
        return -x.flatten(2).sum(2) @ self.bias if x.ndim > 2 else -x @ self.bias

    def statistics(self, x: Tensor, field: Callable[[], Tensor]) -> list[tuple[nn.Parameter, Tensor]]:
        """Parameters that learn, each with what is compared for its numbers, `(B, numbers)`: minus the gradient of
        own energy but for terms that hold no x. `field` gives the one that reaches the layer."""
        bias = self.bias
        if not bias.requires_grad:
            return []
        x = self.coupled(x)
        return [(bias, x if x.ndim == 2 else x.sum((2, 3)))]

    def coupled(self, x: Tensor) -> Tensor:
        """The state as the links see it; its transpose, which is the same map, takes a link's field back to x."""
        return x

    @abstractmethod
    def log_norm(self, field: Tensor) -> Tensor:
        """Logarithm of the normaliser, summed over the layer: `(B, ...)` to `(B,)`."""

    @abstractmethod
    def mean(self, field: Tensor) -> Tensor:
        """Expected state, same shape as the field."""

    def pooling_mean(self, field: Tensor) -> Tensor:
        """Expected state of the layer's pooling units, which are the units themselves where nothing is pooled."""
        return self.mean(field)

    @abstractmethod
    def field_for(self, mean: Tensor) -> Tensor:
        """The inverse of `mean`: a field in which the expected state is this one, inside the units' range."""

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
        raise ValueError(f"{self.kind} units cannot be enumerated: keep them in the colour that is summed exactly")

    def check(self, x: Tensor, what: str) -> None:
        """Refuse pictures or maps `x` (named `what` in the message) that this layer cannot show."""
        if x.ndim not in (2, 4) or x.shape[1] != self.n:
            dense = x.ndim == 2
            taken = f"(batch, {self.n})" if dense else f"(batch, {self.n}) or (batch, {self.n}, height, width)"
            remedy = "resize the pictures to so many values" if dense else f"convert them to {self.n} channel(s)"
            raise DataError(
                f"{what} has shape {tuple(x.shape)}, the model takes {taken}: {remedy}, or train a model on such "
                "pictures"
            )
        low, high = (float(extreme) for extreme in x.aminmax())  # one pass, which NaN comes through
        if not math.isfinite(low) or not math.isfinite(high):
            bad = int((~torch.isfinite(x)).flatten(1).any(1).nonzero()[0])
            raise DataError(f"{what} has a NaN or infinite pixel in picture {bad} of the batch: remove or repair it")
        if low < self.limits[0] or high > self.limits[1]:
            raise DataError(
                f"{what} has values from {low:.4g} to {high:.4g}, {type(self).__name__} units take "
                f"[{self.limits[0]:g}, {self.limits[1]:g}]: scale the pictures (divide bytes by 255), or give the "
                "layer Gaussian visibles"
            )

    def biased(self, field: Tensor) -> Tensor:
        """Field plus bias."""
        return field + self.per_unit(self.bias, field)

    @staticmethod
    def per_unit(values: Tensor, like: Tensor) -> Tensor:
        """A value per unit `(n,)`, shaped to broadcast over a state."""
        return values.view(-1, *[1] * (like.ndim - 2))


class Bernoulli(Unit):
    """Binary units, x in {0, 1}: U(x) = -<b, x>."""

    kind = "bernoulli"
    limits = (0.0, 1.0)

    def log_norm(self, field: Tensor) -> Tensor:
        return F.softplus(self.biased(field)).flatten(1).sum(1)

    def mean(self, field: Tensor) -> Tensor:
        if fast.usable(field):
            return fast.logistic(field, self.bias, None)[0]
        return self.biased(field).sigmoid_()

    def field_for(self, mean: Tensor) -> Tensor:
        return mean.logit() - self.per_unit(self.bias, mean)

    def mode(self, field: Tensor) -> Tensor:
        return (self.biased(field) > 0).to(field.dtype)

    @without_gradients
    def mean_and_sample(self, field: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        if fast.usable(field):
            return fast.logistic(field, self.bias, generator)
        p = self.mean(field)
        return p, _uniform(p.shape, p, generator).lt_(p)

    def states(self, shape: tuple[int, ...]) -> Tensor:
        return product([0.0, 1.0], torch.Size(shape).numel()).view(-1, *shape).to(self.bias)


class Categorical(Unit):
    """One unit on out of `n`, along dimension 1, at every position: labels, one-hot. U(x) = -<b, x>."""

    kind = "categorical"
    limits = (0.0, 1.0)

    def log_norm(self, field: Tensor) -> Tensor:
        return self.biased(field).logsumexp(1, keepdim=True).flatten(1).sum(1)

    def mean(self, field: Tensor) -> Tensor:
        return self.biased(field).softmax(1)

    def field_for(self, mean: Tensor) -> Tensor:
        return mean.log() - self.per_unit(self.bias, mean)

    def mode(self, field: Tensor) -> Tensor:
        return _one_hot(self.biased(field).argmax(1), self.n, field)

    @without_gradients
    def mean_and_sample(self, field: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        p = self.mean(field)
        uniform = _uniform((p.shape[0], 1, *p.shape[2:]), p, generator)
        # The last edge is left out: rounding could put it below the uniform, and the last unit takes what remains.
        index = (uniform >= p.cumsum(1)[:, :-1]).sum(1)
        return p, _one_hot(index, self.n, field)

    def states(self, shape: tuple[int, ...]) -> Tensor:
        positions = torch.Size(shape[1:]).numel()
        index = product([float(i) for i in range(self.n)], positions).long()
        return F.one_hot(index, self.n).transpose(1, 2).reshape(-1, *shape).to(self.bias)


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
        self.block = block

    def spec(self) -> dict[str, Any]:
        return {**super().spec(), "block": self.block}

    def log_norm(self, field: Tensor) -> Tensor:
        members = self._members(self.biased(field))
        return torch.stack([torch.zeros_like(members[0]), *members]).logsumexp(0).flatten(1).sum(1)

    def mean(self, field: Tensor) -> Tensor:
        if self._by_kernel(field):
            return fast.block_softmax(field, self.bias, self.block, None)[0]
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
            return fast.pooling_mean(field, self.bias, self.block)
        # Rounding can carry the sum above 1, which Bernoulli units of the next layer refuse.
        return pooled(self.mean(field), self.block).clamp(max=1)

    def field_for(self, mean: Tensor) -> Tensor:
        members = self._members(mean)
        off = 1 - sum(members[1:], members[0])
        logits = [(member, off) for member in members]
        return self._assemble(mean, torch.div, logits).log() - self.per_unit(self.bias, mean)

    def mode(self, field: Tensor) -> Tensor:
        members = self._members(self.biased(field))
        winner = torch.stack([torch.zeros_like(members[0]), *members]).argmax(0)
        return self._assemble(field, torch.eq, [(winner, winner.new_tensor(i + 1)) for i in range(len(members))])

    @without_gradients
    def mean_and_sample(self, field: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        if self._by_kernel(field):
            return fast.block_softmax(field, self.bias, self.block, generator)
        mean = self.mean(field)
        members = self._members(mean)
        uniform = _uniform(members[0].shape, members[0], generator)
        # A member is on where the uniform falls between its two cumulative edges; "all off" is what remains.
        edge = torch.zeros_like(uniform)
        below = [edge]
        for member in members:
            edge = edge + member
            below.append(torch.lt(uniform, edge, out=torch.empty_like(uniform)))
        return mean, self._assemble(field, torch.sub, list(zip(below[1:], below[:-1], strict=True)))

    def states(self, shape: tuple[int, ...]) -> Tensor:
        maps, height, width = shape
        block = torch.cat([torch.zeros(1, self.block**2), torch.eye(self.block**2)])
        across = (maps, height // self.block, width // self.block)
        index = product([float(i) for i in range(len(block))], torch.Size(across).numel()).long()
        blocks = block[index].view(-1, *across, self.block, self.block)
        return blocks.transpose(3, 4).reshape(-1, *shape).to(self.bias)

    def check_size(self, height: int, width: int) -> None:
        """Refuse maps that do not divide into blocks."""
        if height % self.block or width % self.block:
            raise ValueError(f"maps of {height}x{width} do not divide into {self.block}x{self.block} blocks")

    def _by_kernel(self, field: Tensor) -> bool:
        """Whether the kernels take this field, which they do not check themselves."""
        self.check_size(*field.shape[2:])
        return fast.usable(field)

    def _members(self, x: Tensor) -> list[Tensor]:
        """The C^2 units of every block, as strided views `(B, n, H / C, W / C)`."""
        self.check_size(*x.shape[2:])
        return [x[..., i :: self.block, j :: self.block] for i, j in self._corners()]

    def _assemble(self, like: Tensor, operation: Any, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
        """The inverse of `_members`, in the shape of `like`: the operation's result on each pair, in its place."""
        out = torch.empty_like(like, requires_grad=False, memory_format=torch.contiguous_format)
        for (i, j), (left, right) in zip(self._corners(), pairs, strict=True):
            place = out[..., i :: self.block, j :: self.block]
            if torch.is_grad_enabled():
                place.copy_(operation(left, right))
            else:
                operation(left, right, out=place)
        return out

    def _corners(self) -> Iterator[tuple[int, ...]]:
        return itertools.product(range(self.block), repeat=2)


def _uniform(shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=like.device, dtype=like.dtype)


def product(values: list[float], repeat: int) -> Tensor:
    """Every combination of `repeat` values, one a row."""
    grid = torch.cartesian_prod(*[torch.tensor(values)] * repeat)
    return grid.view(-1, repeat)


def _one_hot(index: Tensor, n: int, like: Tensor) -> Tensor:
    return torch.zeros_like(like).scatter_(1, index.unsqueeze(1), 1.0)
