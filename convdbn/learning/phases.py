"""Where the two states come from that the gradient compares: the data's and the model's.

The gradient of the log-likelihood is a contrast of statistics (Hinton 2002). The positive phase takes the hidden
layers given the data. The methods differ only in the negative phase: contrastive divergence starts its chains at the
data, persistent contrastive divergence (Tieleman 2008) keeps them between updates, fast weights (Tieleman and Hinton
2009) drive them away from where they were, and parallel tempering swaps them with chains at other temperatures.
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
    """Hidden color given the visible one: the state with means there, and the state with samples of those means.
    Layers that are `given`, such as labels, stay as they are.

    Means enter the statistics (they are exact, with less noise); samples go on along the chain.
    """
    means: list[Any] = list(state)
    samples: list[Any] = list(state)
    for layer, unit in enumerate(machine.units):
        if machine.colors[layer] == 1 and layer not in given:
            field = machine.field(state, layer)
            means[layer], samples[layer] = unit.mean_and_sample(field, generator=generator)
    return tuple(means), tuple(samples)


@without_gradients
def positive(
    machine: BoltzmannMachine, data: Given, *, generator: torch.Generator, sweeps: int = 30
) -> tuple[State, State]:
    """Means and samples of the hidden layers given the data; layers that are None in `data` are hidden.

    Exact where the hidden layers are all of one color, else `sweeps` of mean field (Salakhutdinov and Hinton 2009).
    """
    given = {layer: True for layer, x in enumerate(data) if x is not None}
    if any(c == 0 and layer not in given for layer, c in enumerate(machine.colors)):
        data = mean_field(machine, start(machine, data), sweeps=sweeps, tolerance=0, clamp=given)
    return expect(machine, data, given=given, generator=generator)


class NegativePhase(ABC):
    """The model's state, with means in its hidden color, after `k` sweeps of its chains.

    Derive from this class to write one. What it remembers from update to update goes into `state` and `load_state`,
    so that a resumed run goes on as if it had not stopped, and is changed in place.
    """

    def __init__(self, k: int = 1) -> None:
        self.k = k

    @abstractmethod
    def __call__(self, machine: BoltzmannMachine, samples: State, *, generator: torch.Generator) -> State:
        """The state of the model; `samples` is that of the data."""

    def follow(  # noqa: B027 - nothing unless a phase says otherwise
        self, machine: BoltzmannMachine, positive: State, negative: State, *, scale: float
    ) -> None:
        """Learn from the two states of an update, where the phase has something to learn."""

    def state(self) -> dict[str, Tensor]:
        """What the phase carries from update to update."""
        return {}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:  # noqa: B027
        """The inverse of `state`."""


class ContrastiveDivergence(NegativePhase):
    """CD-k (Hinton 2002): k sweeps from the data; with `noise_free` the visible layer takes its mean.

    Gaussian visibles are reconstructed noise-free in the recipe of Lee et al. (2009). The outermost `border` pixels,
    which fewer hidden units see than the others, stay at the data (Norouzi, Ranjbar and Mori 2009): reconstructed,
    they would pull the weights into the corners of the filters.
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
    kept = torch.ones(maps.shape[-2:], dtype=torch.bool, device=maps.device)
    kept[width:-width, width:-width] = False
    return kept


class PersistentContrastiveDivergence(NegativePhase):
    """PCD-k (Tieleman 2008): chains that go on from update to update, k sweeps each; they begin at the data.

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
        for kept, new in zip(self.chains, chains, strict=True):
            kept.copy_(new)
        return means

    def state(self) -> dict[str, Tensor]:
        return {} if self.chains is None else {f"chains.{layer}": x for layer, x in enumerate(self.chains)}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        names = sorted((name for name in tensors if name.startswith("chains.")), key=lambda name: int(name[7:]))
        self.chains = tuple(tensors[name] for name in names) or None


class FastPersistentContrastiveDivergence(PersistentContrastiveDivergence):
    """Fast PCD (Tieleman and Hinton 2009): the chains see fast parameters on top of the machine's own.

    These learn by the same contrast at `rate`, and 1 - `decay` of them is forgotten at every update: where the chains
    stay, energy rises at once, and they move on.
    """

    def __init__(self, k: int = 1, *, rate: float, decay: float = 0.95) -> None:
        super().__init__(k)
        self.rate, self.decay = rate, decay
        self.fast: list[Tensor] | None = None

    @without_gradients
    def __call__(self, machine: BoltzmannMachine, samples: State, *, generator: torch.Generator) -> State:
        if self.fast is None:
            self.fast = [torch.zeros_like(parameter) for parameter in machine.parameters()]
        seen = copy.deepcopy(machine)
        for parameter, fast in zip(seen.parameters(), self.fast, strict=True):
            parameter.add_(fast)
        return super().__call__(seen, samples, generator=generator)

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
    """Persistent chains with replicas at `temperatures` values of beta from 1 to 0, which swap places (Desjardins et
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
        for kept, new in zip(self.chains, chains, strict=True):
            kept.copy_(new)
        count = len(chains[0]) // self.temperatures
        return expect(machine, tuple(x[:count] for x in chains), generator=generator)[0]


def phase_for(settings: LayerSettings) -> NegativePhase:
    """The negative phase that the settings ask for."""
    if settings.border and (settings.phase != "cd" or settings.kernel == 0):
        raise UsageError(f"border={settings.border}: needs phase: cd and a convolutional layer; take border: 0")
    if settings.phase == "pcd":
        return PersistentContrastiveDivergence(settings.k)
    if settings.phase == "fast-pcd":
        return FastPersistentContrastiveDivergence(settings.k, rate=settings.fast_rate)
    if settings.phase == "tempering":
        return ParallelTempering(settings.k, temperatures=settings.temperatures)
    return ContrastiveDivergence(settings.k, noise_free=settings.noise_free, border=settings.border)
