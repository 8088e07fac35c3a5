"""Annealed importance sampling: log Z of any machine, from below (forwards) and from above (in reverse).

Machines of every temperature lead from a base, whose units are independent, to the machine:

    E_beta(x) = sum_l U_l(x_l) - (1 - beta) sum_l <t_l, x_l> - beta * sum_links <x_b, W x_a>

where the fields t_l give the units of the base the means of the data (Salakhutdinov and Murray 2008 do so for the
visible layer; hidden layers take their mean for the data). The runs sample the layers of one color and
sum over the others.
"""

import itertools
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from convdbn.energy import BoltzmannMachine, State, Unit
from convdbn.energy.states import check_layer, check_number, check_state
from convdbn.errors import UsageError
from convdbn.sampling.checks import check_betas, check_count, checked_generator
from convdbn.sampling.gibbs import mean_field, start

log = logging.getLogger(__name__)

RUNS = 100
DISAGREE = 1.0
"""Largest gap, in nats, between the two directions of an estimate that can be trusted."""
COLLAPSED = 0.05
"""Effective share of the runs, below which the weight has collapsed onto a few."""
EDGE = 0.005
"""Means of the base stay this far (times their range) from 0 and 1, so that every state of the machine can occur."""


def schedule(steps: int = 14_500) -> Tensor:
    """Inverse temperatures from 0 to 1, closer toward 1 (Salakhutdinov and Murray 2008, section 5: 14,500 steps of
    1e-3 up to .5, 1e-4 up to .9, and 1e-5).

    >>> len(schedule(1000))
    1001
    """
    check_count("steps", steps)
    first, second = max(1, steps * 500 // 14_500), max(1, steps * 4_000 // 14_500)
    spans = [(0.0, 0.5, first), (0.5, 0.9, second), (0.9, 1.0, max(1, steps - first - second))]
    parts = [torch.linspace(low, high, count + 1, dtype=torch.float64)[:-1] for low, high, count in spans]
    return torch.cat([*parts, torch.ones(1, dtype=torch.float64)])


@dataclass(frozen=True)
class Estimate:
    """log Z from one direction, its bounds at three standard errors of the mean weight, and the effective sample size
    (sum w)^2 / sum w^2, of `runs`."""

    log_z: float
    low: float
    high: float
    ess: float
    runs: int


@dataclass(frozen=True)
class LogZ:
    """log Z forwards, which is too low if the runs miss modes, and in reverse, which is then too high."""

    forward: Estimate
    reverse: Estimate

    @property
    def gap(self) -> float:
        """Nats from the forward to the reverse estimate."""
        return self.reverse.log_z - self.forward.log_z

    @property
    def trusted(self) -> bool:
        """Whether the directions agree within a nat and no weights have collapsed."""
        spread = [one.ess >= COLLAPSED * one.runs for one in (self.forward, self.reverse)]
        return abs(self.gap) <= DISAGREE and all(spread)


@torch.no_grad()
def base_means(machine: BoltzmannMachine, data: Tensor) -> State:
    """Mean of every layer over the data, `(1, ...)`: visible pixels, and hidden units by mean field from them."""
    check_layer(machine.units[0], data, "data")
    state = mean_field(machine, start(machine, machine.only(0, data)), clamp={0: True})
    means = []
    for unit, x in zip(machine.units, state, strict=True):
        typical = x.mean(0, keepdim=True)
        even = unit.mean(torch.zeros_like(typical) - unit.per_unit(unit.bias, typical))
        means.append(typical if _real(unit) else torch.lerp(typical, even, EDGE))
    return tuple(means)


@torch.no_grad()
def log_z(
    machine: BoltzmannMachine,
    base: State,
    samples: State,
    *,
    generator: torch.Generator | None = None,
    betas: Tensor | None = None,
    color: int | None = None,
) -> LogZ:
    """log Z of the machine in both directions, with a loud warning if it cannot be trusted.

    Args:
        machine: any machine; layers of the `color` that is sampled may not be Gaussian.
        base: means of the base's layers `(1, ...)`, as `base_means` gives them.
        samples: states of the machine itself; each starts a reverse run, and there are as many forward runs.
        generator: source of all draws, on the device of the machine.
        betas: inverse temperatures from 0 to 1.
        color: color of the layers that are sampled; by default the one with fewer units.

    UsageError without a generator, or for arguments that do not fit the machine.

    >>> from convdbn.models.machines import rbm
    >>> from convdbn.sampling import exact
    >>> machine, generator = rbm(4, 3), torch.Generator().manual_seed(0)
    >>> samples = exact.sample(machine, machine.shapes((4,)), 100, generator=generator)
    >>> base = base_means(machine, samples[0])
    >>> estimates = log_z(machine, base, samples, generator=generator, betas=schedule(100))
    >>> estimates.trusted, abs(estimates.forward.log_z - exact.log_z(machine, machine.shapes((4,))).item()) < 0.1
    (True, True)
    """
    _check(machine, base, samples, betas, color)
    generator = checked_generator(generator, machine)
    betas = schedule() if betas is None else betas
    if color is None:
        color = _smaller_color(machine, base)
    tilt = [unit.field_for(mean) for unit, mean in zip(machine.units, base, strict=True)]
    base_log_z = float(sum(unit.log_norm(t) for unit, t in zip(machine.units, tilt, strict=True)))
    runs = len(samples[0])
    begin = tuple(
        unit.sample(t.repeat(runs, *[1] * (t.ndim - 1)), generator=generator)
        for unit, t in zip(machine.units, tilt, strict=True)
    )
    forward = anneal(machine, tilt, begin, betas.tolist(), color, generator=generator)
    back = anneal(machine, tilt, samples, betas.flip(0).tolist(), color, generator=generator)
    return checked(LogZ(_estimate(base_log_z, forward, 1), _estimate(base_log_z, back, -1)))


@torch.no_grad()
def anneal(
    machine: BoltzmannMachine,
    tilt: Sequence[Tensor],
    state: State,
    betas: Sequence[float],
    color: int,
    *,
    generator: torch.Generator,
) -> Tensor:
    """Log weights `(B,)` of runs from `state`, drawn at the first of the `betas`, to the last, up or down."""
    layers = range(len(machine.units))
    sampled_layers = [layer for layer in layers if machine.colors[layer] == color]
    other_layers = [layer for layer in layers if machine.colors[layer] != color]
    weights = torch.zeros(len(state[0]), dtype=torch.float64, device=state[0].device)
    current: list[Any] = list(state)
    for before, beta in itertools.pairwise(betas):
        tilted = sum((current[layer] * tilt[layer]).flatten(1).sum(1) for layer in sampled_layers)
        weights += (before - beta) * tilted
        for layer in other_layers:
            unit, links = machine.units[layer], machine.unchecked_field(cast(State, tuple(current)), layer)
            field = torch.lerp(tilt[layer], links, beta)
            weights += unit.log_norm(field) - unit.log_norm(torch.lerp(tilt[layer], links, before))
            current[layer] = unit.sample(field, generator=generator)
        state = tuple(current)
        for layer in sampled_layers:
            field = torch.lerp(tilt[layer], machine.unchecked_field(state, layer), beta)
            current[layer] = machine.units[layer].sample(field, generator=generator)
    return weights


def checked(estimates: LogZ) -> LogZ:
    """The same estimates, with a warning if they cannot be trusted."""
    if not estimates.trusted:
        log.warning(
            "log Z CANNOT BE TRUSTED: %.2f forwards and %.2f in reverse (%.2f nats apart, the limit is %g), "
            "effective runs %.1f and %.1f of %d; take more betas and runs, or samples that mixed for longer",
            estimates.forward.log_z,
            estimates.reverse.log_z,
            estimates.gap,
            DISAGREE,
            estimates.forward.ess,
            estimates.reverse.ess,
            estimates.forward.runs,
        )
    return estimates


def _check(machine: BoltzmannMachine, base: State, samples: State, betas: Tensor | None, color: int | None) -> None:
    """UsageError for arguments of `log_z` that do not fit the machine, or each other."""
    check_state(machine, base, whole=True, name="base")
    check_state(machine, samples, whole=True, name="samples")
    for layer, (mean, x) in enumerate(zip(base, samples, strict=True)):
        if mean.shape != (1, *x.shape[1:]):
            raise UsageError(
                f"base[{layer}]={tuple(mean.shape)}: the samples have layers {tuple(x.shape)}; take base_means of "
                "data in their size"
            )
    if betas is not None:
        check_betas(betas)
        if betas[0] != 0 or betas[-1] != 1:
            ends = f"{float(betas[0]):g} to {float(betas[-1]):g}"
            raise UsageError(f"betas={ends}: do not lead from the base to the machine; begin with 0 and end with 1")
    if color is not None:
        check_number("color", color, 2)


def _estimate(base_log_z: float, weights: Tensor, sign: int) -> Estimate:
    runs = len(weights)
    center = float(weights.max())
    ratios = (weights - center).exp()
    mean = float(ratios.mean())
    error = float(ratios.std()) / math.sqrt(runs)
    ends = [math.log(max(mean + times * error, 1e-300)) + center for times in (-3 * sign, 3 * sign)]
    low, high = (base_log_z + sign * end for end in ends)
    ess = float(ratios.sum().square() / ratios.square().sum())
    return Estimate(base_log_z + sign * (math.log(mean) + center), low, high, ess, runs)


def _real(unit: Unit) -> bool:
    """Whether the states are any real numbers."""
    return unit.limits == (-math.inf, math.inf)


def _smaller_color(machine: BoltzmannMachine, base: State) -> int:
    sizes = [sum(x.numel() for x, c in zip(base, machine.colors, strict=True) if c == color) for color in (0, 1)]
    gaussian = [
        any(_real(unit) and c == color for unit, c in zip(machine.units, machine.colors, strict=True))
        for color in (0, 1)
    ]
    return min((0, 1), key=lambda color: (gaussian[color], sizes[color]))
