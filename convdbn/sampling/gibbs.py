"""One sweep, three rules: Gibbs sampling, mean field and zero-temperature descent are the same few lines.

Means have gradients (`update`, `sweep`, `start`, `mean_field`). Draws have none, so `gibbs` records no gradients, and
callers that draw with `update` or `sweep` should switch gradients off.

`gibbs`, `start` and `mean_field` check their arguments; `update` and `sweep`, the loops inside, do not.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from convdbn.energy import BoltzmannMachine, Given, State, Unit
from convdbn.energy.states import check_beta, check_state
from convdbn.errors import UsageError
from convdbn.ops.grad import without_gradients
from convdbn.sampling.checks import check_clamp, check_count, checked_generator

Rule = Callable[[Unit, Tensor], Tensor]
"""New state of a layer, from its unit and the field that reaches it."""

Clamp = Mapping[int, bool | Tensor]
"""Layers that stay as they are: True for the whole layer, or a mask that is True at the pixels to keep."""


def mean(unit: Unit, field: Tensor) -> Tensor:
    """Rule: the expected state. Sweeps of it are mean-field inference."""
    return unit.mean(field)


def mode(unit: Unit, field: Tensor) -> Tensor:
    """Rule: the most probable state. Sweeps of it go downhill in energy."""
    return unit.mode(field)


def draw(generator: torch.Generator) -> Rule:
    """Rule: a sample. Sweeps of it are block Gibbs sampling."""
    return lambda unit, field: unit.sample(field, generator=generator)


def update(
    machine: BoltzmannMachine,
    state: Given,
    color: int,
    rule: Rule,
    *,
    beta: float | Tensor = 1.0,
    clamp: Clamp | None = None,
) -> State:
    """Apply `rule` to every layer of one color, given the layers of the other."""
    clamp = clamp or {}
    new: list[Any] = list(state)
    for layer, unit in enumerate(machine.units):
        mask = clamp.get(layer, False)
        if machine.colors[layer] != color or mask is True:
            continue
        new[layer] = rule(unit, machine.unchecked_field(state, layer, beta))
        before = state[layer]
        if isinstance(mask, Tensor) and before is not None:
            new[layer] = torch.where(mask, before, new[layer])
    return cast(State, tuple(new))


def sweep(
    machine: BoltzmannMachine,
    state: State,
    rule: Rule,
    *,
    beta: float | Tensor = 1.0,
    clamp: Clamp | None = None,
) -> State:
    """Update every layer once: first the color of the visible layer, then the other."""
    for color in (0, 1):
        state = update(machine, state, color, rule, beta=beta, clamp=clamp)
    return state


@without_gradients
def gibbs(
    machine: BoltzmannMachine,
    state: State,
    sweeps: int,
    *,
    generator: torch.Generator | None = None,
    beta: float | Tensor = 1.0,
    clamp: Clamp | None = None,
) -> State:
    """`sweeps` sweeps of block Gibbs sampling from a whole state; 0 sweeps leave it unchanged.

    UsageError without a generator, or for arguments that do not fit the machine.

    >>> from convdbn.models.machines import rbm
    >>> machine = rbm(4, 3)
    >>> state = start(machine, (torch.zeros(2, 4), None))
    >>> v, h = gibbs(machine, state, 10, generator=torch.Generator().manual_seed(0))
    >>> v.shape, h.shape
    (torch.Size([2, 4]), torch.Size([2, 3]))
    """
    check_count("sweeps", sweeps, 0)
    check_state(machine, state, whole=True)
    check_beta(beta, state)
    check_clamp(state, clamp)
    generator = checked_generator(generator, machine)
    for _ in range(sweeps):
        state = sweep(machine, state, draw(generator), beta=beta, clamp=clamp)
    return state


def start(machine: BoltzmannMachine, given: Given) -> State:
    """Fill the layers that are None from the bottom up, each with its mean for the neighbors that have a state.

    UsageError if `given` does not fit the machine, or if no layer has a state.

    >>> from convdbn.models.machines import rbm
    >>> start(rbm(4, 3), (torch.zeros(1, 4), None))[1].tolist()
    [[0.5, 0.5, 0.5]]
    """
    check_state(machine, given, name="given")
    if all(x is None for x in given):
        raise UsageError("given=None: no layer has a state; give at least one")
    state = list(given)
    while any(x is None for x in state):
        for a, b in machine.edges:
            empty, full = (b, a) if state[b] is None else (a, b)
            if state[empty] is None and state[full] is not None:
                state[empty] = machine.units[empty].mean(machine.field(tuple(state), empty))
    return cast(State, tuple(state))


def mean_field(
    machine: BoltzmannMachine,
    state: State,
    *,
    sweeps: int = 30,
    tolerance: float = 1e-4,
    damping: float = 0.0,
    clamp: Clamp | None = None,
) -> State:
    """Sweeps of means until no unit moves by more than `tolerance`, or `sweeps` are done.

    `damping` is the share of its old mean that a unit keeps at every sweep. A tolerance of 0 never stops early, and
    does not wait for the device to tell how far the units moved.

    Each update of a color is a coordinate ascent of the variational bound (Salakhutdinov and Hinton 2009, section
    2.2), so the bound never falls. If the free layers all have one color, the first sweep is exact.

    UsageError for arguments that do not fit the machine.

    >>> from convdbn.models.machines import dbm
    >>> machine = dbm(4, [3, 2])
    >>> state = start(machine, (torch.zeros(1, 4), None, None))
    >>> mean_field(machine, state, clamp={0: True})[2].tolist()
    [[0.5, 0.5]]
    """
    check_count("sweeps", sweeps)
    check_state(machine, state, whole=True)
    check_clamp(state, clamp)
    for _ in range(sweeps):
        new = sweep(machine, state, mean, clamp=clamp)
        if damping:
            new = tuple(torch.lerp(x, y, damping) for x, y in zip(new, state, strict=True))
        if not tolerance:
            state = new
            continue
        moved = max(float((x - y).detach().abs().max()) for x, y in zip(new, state, strict=True))
        state = new
        if moved <= tolerance:
            break
    return state
