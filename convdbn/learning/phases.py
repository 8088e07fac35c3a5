"""Where the two states come from that the gradient compares: the data's and the model's.

The gradient of the log-likelihood is a contrast of statistics (Hinton 2002). The positive phase takes the hidden
layers given the data. The methods differ only in the negative phase: contrastive divergence starts its chains at the
data, persistent contrastive divergence (Tieleman 2008) keeps them between updates.
"""

from typing import Any

import torch
from torch import Tensor

from convdbn.energy import BoltzmannMachine, Given, State
from convdbn.errors import UsageError
from convdbn.sampling.gibbs import draw, mean, mean_field, start, update


@torch.no_grad()
def expect(machine: BoltzmannMachine, state: Given, *, generator: torch.Generator) -> tuple[State, State]:
    """Hidden colour given the visible one: the state with means there, and the state with samples of those means.

    Means enter the statistics (they are exact, with less noise); samples go on along the chain.
    """
    means: list[Any] = list(state)
    samples: list[Any] = list(state)
    for layer, unit in enumerate(machine.units):
        if machine.colours[layer] == 1:
            field = machine.field(state, layer)
            means[layer], samples[layer] = unit.mean_and_sample(field, generator=generator)
    return tuple(means), tuple(samples)


def positive(machine: BoltzmannMachine, data: Given, *, generator: torch.Generator) -> tuple[State, State]:
    """Means and samples of the hidden layers given the data; layers that are None in `data` are hidden.

    Exact where the hidden layers are all of one colour, else mean field (Salakhutdinov and Hinton 2009).
    """
    given = {layer: True for layer, x in enumerate(data) if x is not None}
    if any(c == 0 and layer not in given for layer, c in enumerate(machine.colours)):
        data = mean_field(machine, start(machine, data), clamp=given)
    return expect(machine, data, generator=generator)


class ContrastiveDivergence:
    """CD-k (Hinton 2002): k sweeps from the data; with `noise_free` the visible layer takes its mean.

    Gaussian visibles are reconstructed noise-free in the recipe of Lee et al. (2009). The outermost `border` pixels,
    which fewer hidden units see than the others, stay at the data (Norouzi, Ranjbar and Mori 2009): reconstructed,
    they would pull the weights into the corners of the filters.
    """

    def __init__(self, k: int = 1, *, noise_free: bool = False, border: int = 0) -> None:
        self.k, self.noise_free, self.border = k, noise_free, border

    def __call__(self, machine: BoltzmannMachine, samples: State, *, generator: torch.Generator) -> State:
        sampling = draw(generator)
        state = samples
        clamp = {0: _border(samples[0], self.border)} if self.border else {}
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


class PersistentContrastiveDivergence:
    """PCD-k (Tieleman 2008): chains that go on from update to update, k sweeps each; they begin at the data.

    `chains` is the state of the fantasy particles, one for each element of the first batch.
    """

    def __init__(self, k: int = 1) -> None:
        self.k = k
        self.chains: State | None = None

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


NegativePhase = ContrastiveDivergence | PersistentContrastiveDivergence
