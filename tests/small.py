"""Machines small enough to enumerate, and the one statistical test that the samplers are held to."""

from collections.abc import Callable

import torch
from scipy.stats import chi2, norm
from torch import Tensor

from convdbn.energy import (
    Bernoulli,
    Binomial,
    BlockSoftmax,
    BoltzmannMachine,
    Categorical,
    Conv,
    Dense,
    Gaussian,
    LearnedGaussian,
    State,
)
from convdbn.models.machines import doubled

FALSE_ALARM = 1e-4
"""A right sampler fails a statistical test with this probability over seeds; seeds are fixed and never changed."""


def rbm() -> BoltzmannMachine:
    return BoltzmannMachine([Bernoulli(4), Bernoulli(3)], [(0, 1, Dense(4, 3))])


def gaussian_rbm() -> BoltzmannMachine:
    return BoltzmannMachine([Gaussian(3, 0.7), Bernoulli(4)], [(0, 1, Dense(3, 4))])


def labeled_rbm() -> BoltzmannMachine:
    units = [Bernoulli(3), Bernoulli(3), Categorical(3)]
    return BoltzmannMachine(units, [(0, 1, Dense(3, 3)), (2, 1, Dense(3, 3))])


def dbm() -> BoltzmannMachine:
    units = [Bernoulli(3), Bernoulli(3), Bernoulli(2)]
    return BoltzmannMachine(units, [(0, 1, Dense(3, 3)), (1, 2, Dense(3, 2))])


def conv_rbm() -> BoltzmannMachine:
    """Without pooling, color input, a picture and a filter that are not square."""
    return BoltzmannMachine([Bernoulli(2), Bernoulli(2)], [(0, 1, Conv(2, 2, (1, 2)))])


def pooled_rbm() -> BoltzmannMachine:
    return BoltzmannMachine([Bernoulli(1), BlockSoftmax(2, 2)], [(0, 1, Conv(1, 2, 2))])


def wide_block_rbm() -> BoltzmannMachine:
    return BoltzmannMachine([Bernoulli(1), BlockSoftmax(1, 3)], [(0, 1, Conv(1, 1, (1, 2)))])


def gaussian_pooled_rbm() -> BoltzmannMachine:
    return BoltzmannMachine([Gaussian(1, 0.6), BlockSoftmax(2, 2)], [(0, 1, Conv(1, 2, 2))])


def labeled_pooled_rbm() -> BoltzmannMachine:
    units = [Bernoulli(1), BlockSoftmax(1, 2), Categorical(3)]
    return BoltzmannMachine(units, [(0, 1, Conv(1, 1, 2)), (1, 2, Conv(1, 3, 1, pool=2))])


def conv_dbm() -> BoltzmannMachine:
    units = [Bernoulli(1), BlockSoftmax(1, 2), Bernoulli(2)]
    return BoltzmannMachine(units, [(0, 1, Conv(1, 1, (1, 2))), (1, 2, Conv(1, 2, (1, 1), pool=2))])


def doubled_rbm() -> BoltzmannMachine:
    """DBM pretraining: the same link and the same visible units twice."""
    return doubled(rbm(), below=True)


def doubled_top() -> BoltzmannMachine:
    """DBM pretraining of the highest layer, on a map."""
    return doubled(conv_rbm(), below=False)


def binomial_rbm() -> BoltzmannMachine:
    """Counts on both sides."""
    return BoltzmannMachine([Binomial(2, 2), Binomial(2, 3)], [(0, 1, Dense(2, 2))])


def learned_gaussian_rbm() -> BoltzmannMachine:
    return BoltzmannMachine([LearnedGaussian(3, shared=False), Bernoulli(4)], [(0, 1, Dense(3, 4))])


def learned_gaussian_pooled_rbm() -> BoltzmannMachine:
    return BoltzmannMachine([LearnedGaussian(1), BlockSoftmax(2, 2)], [(0, 1, Conv(1, 2, 2))])


MACHINES: dict[str, tuple[Callable[[], BoltzmannMachine], tuple[int, ...]]] = {
    "rbm": (rbm, (4,)),
    "gaussian_rbm": (gaussian_rbm, (3,)),
    "labeled_rbm": (labeled_rbm, (3,)),
    "dbm": (dbm, (3,)),
    "doubled_rbm": (doubled_rbm, (4,)),
    "doubled_top": (doubled_top, (2, 1, 3)),
    "conv_rbm": (conv_rbm, (2, 1, 3)),
    "pooled_rbm": (pooled_rbm, (1, 3, 3)),
    "wide_block_rbm": (wide_block_rbm, (1, 3, 4)),
    "gaussian_pooled_rbm": (gaussian_pooled_rbm, (1, 3, 3)),
    "labeled_pooled_rbm": (labeled_pooled_rbm, (1, 3, 3)),
    "conv_dbm": (conv_dbm, (1, 2, 5)),
    "binomial_rbm": (binomial_rbm, (2,)),
    "learned_gaussian_rbm": (learned_gaussian_rbm, (3,)),
    "learned_gaussian_pooled_rbm": (learned_gaussian_pooled_rbm, (1, 3, 3)),
}
"""Name -> constructor, shape of the visible layer."""

DISCRETE = [name for name in MACHINES if "gaussian" not in name]
GAUSSIAN = [name for name in MACHINES if "gaussian" in name]


def make(name: str, seed: int = 0, scale: float = 0.8) -> tuple[BoltzmannMachine, list[tuple[int, ...]]]:
    """A machine with random parameters in float64, and the shapes of its layers."""
    constructor, visible = MACHINES[name]
    machine = constructor().double()
    generator = torch.Generator().manual_seed(seed)
    for parameter in machine.parameters():
        parameter.data = scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return machine, machine.shapes(visible)


def generator(seed: int = 0, device: str = "cpu") -> torch.Generator:
    return torch.Generator(device).manual_seed(seed)


def codes(state: State) -> Tensor:
    """Each state of counts from 0 to 3 as one integer `(B,)`; -1 for a state that holds anything else."""
    counts = torch.cat([x.flatten(1) for x in state], 1)
    whole = ((counts == counts.round()) & (counts >= 0) & (counts <= 3)).all(1)
    return torch.where(whole, (counts.long() << 2 * torch.arange(counts.shape[1])).sum(1), -1)


@torch.no_grad()
def p_value(drawn: Tensor, all_codes: Tensor, probabilities: Tensor) -> float:
    """Chi-square test that `drawn` codes come from `probabilities` over `all_codes`.

    States expected fewer than five times share one cell; a code that is no state at all is certain to be wrong.
    """
    order = all_codes.argsort()
    place = torch.searchsorted(all_codes[order], drawn).clamp(max=len(order) - 1)
    if not torch.equal(all_codes[order][place], drawn):
        return 0.0
    counts = torch.bincount(order[place], minlength=len(order)).double()
    expected = probabilities * len(drawn)
    rare = expected < 5
    cells = torch.cat([counts[~rare], counts[rare].sum()[None]])
    wanted = torch.cat([expected[~rare], expected[rare].sum()[None]])
    cells, wanted = cells[wanted > 0], wanted[wanted > 0]
    statistic = ((cells - wanted).square() / wanted).sum()
    return float(chi2.sf(float(statistic), max(1, len(cells) - 1)))


@torch.no_grad()
def state_p_value(machine: BoltzmannMachine, chains: State, joint: State, probabilities: Tensor) -> float:
    """Two tests in one (Bonferroni): the joint histogram, and the mean energy of the links, which a wrong
    temperature moves first."""
    histogram = p_value(codes(chains), codes(joint), probabilities)
    coupling, exact = (machine.energy(x) - machine.energy(x, beta=0.0) for x in (chains, joint))
    mean = probabilities @ exact
    error = ((probabilities @ (exact - mean).square()) / len(coupling)).sqrt()
    energy = 2 * norm.sf(abs(float((coupling.mean() - mean) / error)))
    return min(1.0, 2 * min(histogram, energy))
