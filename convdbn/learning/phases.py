"""The positive and the negative phase: states of the data and of the model, whose statistics the gradient compares.

The gradient of the log-likelihood is a contrast of statistics (Hinton 2002). The positive phase infers the hidden
layers given the data. The methods differ only in the negative phase: contrastive divergence starts its chains at the
data, persistent contrastive divergence (Tieleman 2008) continues them from update to update, fast weights (Tieleman
and Hinton 2009) drive them away from their states, and parallel tempering swaps them with chains at other
temperatures.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Container, Mapping
from typing import Any

import torch
from torch import Tensor

from convdbn.energy import BoltzmannMachine, Given, State
from convdbn.errors import UsageError
from convdbn.ops.grad import without_gradients
from convdbn.recipes import LayerSettings
from convdbn.sampling.gibbs import draw, mean, mean_field, start, update
from convdbn.sampling.tempering import ladder, replicas, tempered


@without_gradients
def expect(
    machine: BoltzmannMachine, state: Given, *, given: Container[int] = (), generator: torch.Generator
) -> tuple[State, State]:
    """The layers of the hidden color given those of the visible color: the state with their means, and the state with
    samples from these means. Layers in `given`, such as labels, do not change.

    The statistics use the means (they are exact and have less noise); the samples continue the chain.
    """
    means: list[Any] = list(state)
    samples: list[Any] = list(state)
    for layer, unit in enumerate(machine.units):
        if machine.colors[layer] == 1 and layer not in given:
            field = machine.unchecked_field(state, layer)
            means[layer], samples[layer] = unit.mean_and_sample(field, generator=generator)
    return tuple(means), tuple(samples)


@without_gradients
def positive(
    machine: BoltzmannMachine, data: Given, *, generator: torch.Generator, sweeps: int = 30
) -> tuple[State, State]:
    """Means and samples of the hidden layers given the data; layers that are None in `data` are hidden.

    Exact if all hidden layers have one color, otherwise `sweeps` of mean field (Salakhutdinov and Hinton 2009).
    """
    given = {layer: True for layer, x in enumerate(data) if x is not None}
    if any(c == 0 and layer not in given for layer, c in enumerate(machine.colors)):
        data = mean_field(machine, start(machine, data), sweeps=sweeps, tolerance=0, clamp=given)
    return expect(machine, data, given=given, generator=generator)


class NegativePhase(ABC):
    """The model's state, with means in its hidden color, after `k` sweeps of its chains.

    Derive from this class to write your own. Anything that changes from update to update must change in place, and go
    through `state` and `load_state`, so that a resumed run continues exactly.
    """

    def __init__(self, k: int = 1) -> None:
        self.k = k

    @abstractmethod
    def __call__(self, machine: BoltzmannMachine, samples: State, *, generator: torch.Generator) -> State:
        """The state of the model; `samples` is that of the data."""

    def follow(  # noqa: B027 - does nothing by default
        self, machine: BoltzmannMachine, positive: State, negative: State, *, scale: float
    ) -> None:
        """Learn from the two states of an update, if the phase has parameters of its own."""

    def state(self) -> dict[str, Tensor]:
        """The state of the phase between updates."""
        return {}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:  # noqa: B027
        """The inverse of `state`."""


class ContrastiveDivergence(NegativePhase):
    """CD-k (Hinton 2002): k sweeps from the data; with `noise_free` the visible layer takes its mean.

    Lee et al. (2009) reconstruct Gaussian visibles noise-free. The outermost `border` pixels, which fewer hidden
    units see than the others, stay at the data (Norouzi, Ranjbar and Mori 2009): their reconstructions would pull the
    weights into the corners of the filters.
    """

    def __init__(self, k: int = 1, *, noise_free: bool = False, border: int = 0) -> None:
        super().__init__(k)
        self.noise_free, self.border = noise_free, border

    @without_gradients
    def __call__(self, machine: BoltzmannMachine, samples: State, *, generator: torch.Generator) -> State:
        sampling = draw(generator)
        state = samples
        border = _border(samples[0], self.border) if self.border else None
        clamp = {} if border is None else {layer: border for layer, x in enumerate(machine.owner) if x == 0}
        for step in range(self.k):
            state = update(machine, state, 0, mean if self.noise_free else sampling, clamp=clamp)
            state = update(machine, state, 1, mean if step == self.k - 1 else sampling)
        return state


def _border(maps: Tensor, width: int) -> Tensor:
    """True at the outermost `width` pixels, `(H, W)`."""
    if 2 * width >= min(maps.shape[-2:]):
        height, across = maps.shape[-2:]
        raise UsageError(f"border={width}: leaves nothing of {height}x{across} pixels; take less, or larger crops")
    mask = torch.ones(maps.shape[-2:], dtype=torch.bool, device=maps.device)
    mask[width:-width, width:-width] = False
    return mask


class PersistentContrastiveDivergence(NegativePhase):
    """PCD-k (Tieleman 2008): chains that begin at the data and continue from update to update, k sweeps each.

    `chains` is the state of the fantasy particles, one for each element of the first batch.
    """

    def __init__(self, k: int = 1) -> None:
        super().__init__(k)
        self.chains: State | None = None

    @without_gradients
    def __call__(self, machine: BoltzmannMachine, samples: State, *, generator: torch.Generator) -> State:
        if self.chains is None:
            self.chains = tuple(x.clone() for x in samples)
        means = chains = self.chains
        for _ in range(self.k):
            chains = update(machine, chains, 0, draw(generator))
            means, chains = expect(machine, chains, generator=generator)
        for old, new in zip(self.chains, chains, strict=True):
            old.copy_(new)
        return means

    def state(self) -> dict[str, Tensor]:
        return {} if self.chains is None else {f"chains.{layer}": x for layer, x in enumerate(self.chains)}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        names = sorted((name for name in tensors if name.startswith("chains.")), key=lambda name: int(name[7:]))
        self.chains = tuple(tensors[name] for name in names) or None


class FastPersistentContrastiveDivergence(PersistentContrastiveDivergence):
    """Fast PCD (Tieleman and Hinton 2009): the chains run in a copy of the machine with fast parameters added.

    Fast parameters learn by the same contrast at `rate`, and decay by the factor `decay` at every update. They raise
    the energy of the present states of the chains at once, so the chains move on.
    """

    def __init__(self, k: int = 1, *, rate: float, decay: float = 0.95) -> None:
        super().__init__(k)
        self.rate, self.decay = rate, decay
        self.fast: list[Tensor] | None = None

    @without_gradients
    def __call__(self, machine: BoltzmannMachine, samples: State, *, generator: torch.Generator) -> State:
        if self.fast is None:
            self.fast = [torch.zeros_like(parameter) for parameter in machine.parameters()]
        fast_machine = copy.deepcopy(machine)
        for parameter, fast in zip(fast_machine.parameters(), self.fast, strict=True):
            parameter.add_(fast)
        return super().__call__(fast_machine, samples, generator=generator)

    def follow(self, machine: BoltzmannMachine, positive: State, negative: State, *, scale: float) -> None:
        assert self.fast is not None
        onto = dict(zip(machine.parameters(), self.fast, strict=True))
        machine.contrast(positive, negative, scale=-self.rate * scale, onto=onto, keep=self.decay)

    def state(self) -> dict[str, Tensor]:
        return super().state() | {f"fast.{index}": x for index, x in enumerate(self.fast or [])}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        super().load_state(tensors)
        count = sum(name.startswith("fast.") for name in tensors)
        self.fast = [tensors[f"fast.{index}"] for index in range(count)] or None


class ParallelTempering(PersistentContrastiveDivergence):
    """Persistent chains with replicas at `temperatures` values of beta from 1 to 0, which swap states (Desjardins et
    al. 2010); the replicas at beta 1 are the model's state."""

    def __init__(self, k: int = 1, *, temperatures: int = 10) -> None:
        super().__init__(k)
        self.temperatures = temperatures

    @without_gradients
    def __call__(self, machine: BoltzmannMachine, samples: State, *, generator: torch.Generator) -> State:
        if self.chains is None:
            self.chains = replicas(samples, self.temperatures)
        betas = ladder(self.temperatures, like=self.chains[0])
        chains = tempered(machine, self.chains, betas, 2 * self.k, generator=generator)
        for old, new in zip(self.chains, chains, strict=True):
            old.copy_(new)
        count = len(chains[0]) // self.temperatures
        return expect(machine, tuple(x[:count] for x in chains), generator=generator)[0]


def phase_for(settings: LayerSettings) -> NegativePhase:
    """The negative phase of the settings."""
    if settings.border and (settings.phase != "cd" or settings.kernel == 0):
        raise UsageError(f"border={settings.border}: needs phase: cd and a convolutional layer; take border: 0")
    if settings.phase == "pcd":
        return PersistentContrastiveDivergence(settings.k)
    if settings.phase == "fast-pcd":
        return FastPersistentContrastiveDivergence(settings.k, rate=settings.fast_rate)
    if settings.phase == "tempering":
        return ParallelTempering(settings.k, temperatures=settings.temperatures)
    return ContrastiveDivergence(settings.k, noise_free=settings.noise_free, border=settings.border)
