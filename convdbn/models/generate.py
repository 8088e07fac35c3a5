"""Samples of a model: Gibbs sampling in its top machine, then one pass down through the layers below it."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from convdbn.energy import BoltzmannMachine, State
from convdbn.errors import UsageError
from convdbn.models.fitting import trimmed
from convdbn.models.passes import as_maps, downward, spread_over_blocks
from convdbn.models.stack import Stack
from convdbn.recipes.geometry import output_side, trimmed_size
from convdbn.sampling.gibbs import Clamp, draw, gibbs, start, update
from convdbn.sampling.tempering import ladder, replicas, tempered

TEMPERATURES = 20


@torch.no_grad()
def generate(
    stack: Stack,
    count: int,
    *,
    burn_in: int,
    at: Sequence[int],
    generator: torch.Generator,
    begin: Tensor | None = None,
    labels: Tensor | None = None,
) -> Iterator[Tensor]:
    """A mean picture of each chain, `(count, c, h, w)`, after each number of sweeps in `at`, which must rise; sweeps
    are counted after the `burn_in`.

    Chains are those of Hinton, Osindero and Teh (2006, section 7): the top machine reaches thermal equilibrium, and
    one pass downwards draws the layers below. Chains start from `begin`, pictures as layer 1 sees them. Without it
    they start at infinite temperature, and the burn-in is parallel tempering. The pictures are transformed ones, of
    the size that layer 1 was trained on, less the border that the pooling blocks do not divide. `labels`, one-hot
    states `(count, classes)`, clamp the label units of the top machine.
    """
    top = stack.machines[-1]
    clamp = None if labels is None else {len(top.units) - 1: True}
    if begin is not None:
        x = trimmed(begin, stack.geometry)
        for index in range(len(stack.machines) - 1):
            x = stack.infer(x, index)[-1]
        x = x.flatten(1) if len(top.shapes(_visible(stack))[0]) == 1 else x
        hidden = [None] * (len(top.units) - 1)
        partial = (x, *hidden) if labels is None else (x, *hidden[1:], labels)
        state = update(top, start(top, partial), 1, draw(generator), clamp=clamp)
        state = gibbs(top, state, burn_in, generator=generator, clamp=clamp)
    else:
        state = independent(top, _visible(stack), count, generator)
        state = state if labels is None else (*state[:-1], labels)
        state = _cooled(top, state, burn_in, generator, clamp)
    for done, sweeps in itertools.pairwise((0, *at)):
        state = gibbs(top, state, sweeps - done, generator=generator, clamp=clamp)
        if len(stack.machines) == 1:
            yield as_maps(stack, 0, top.units[0].mean(top.field(state, 0)))
        else:
            below = sum(layer.machine < len(stack.machines) - 1 for layer in stack.layers)
            yield downward(stack, below, spread_over_blocks(stack, below, state[0]), draw(generator))


def one_hot(stack: Stack, label: int | Literal["all"], count: int) -> Tensor:
    """States of the label units for `count` chains of one class, or of each class after the other, `(chains, n)`.

    Raises `UsageError` for a label that the model does not have.
    """
    top = stack.machines[-1].units[-1]
    if top.kind != "categorical":
        raise UsageError(f"label={label!r}: the model has no label units; train its top layer with labels: true")
    if label != "all" and not (isinstance(label, int) and 0 <= label < top.n):
        raise UsageError(f"label={label!r}: the model has labels 0 to {top.n - 1}; choose one of them, or all")
    every = torch.eye(top.n, device=top.bias.device, dtype=top.bias.dtype)
    return (every if label == "all" else every[[label]]).repeat_interleave(count, 0)


def seeded(stack: Stack, seed: int) -> torch.Generator:
    """A generator with this seed, on the device of the model."""
    return torch.Generator(stack.place.device).manual_seed(seed)


def independent(machine: BoltzmannMachine, visible: tuple[int, ...], count: int, generator: torch.Generator) -> State:
    """Chains at inverse temperature 0: units drawn in no field."""
    like = machine.units[0].bias
    return tuple(
        unit.sample(torch.zeros(count, *shape, device=like.device, dtype=like.dtype), generator=generator)
        for unit, shape in zip(machine.units, machine.shapes(visible), strict=True)
    )


def _cooled(
    machine: BoltzmannMachine, state: State, sweeps: int, generator: torch.Generator, clamp: Clamp | None
) -> State:
    count, betas = len(state[0]), ladder(TEMPERATURES, like=state[0])
    state = replicas(state, TEMPERATURES)
    state = tempered(machine, state, betas, sweeps, generator=generator, clamp=clamp)
    return tuple(x[:count] for x in state)


def _visible(stack: Stack) -> tuple[int, ...]:
    """Shape of the visible layer of the top machine, over pictures of the size that the stack was trained on."""
    below = stack.geometry[: len(stack.machines) - 1]
    channels = stack.machines[-1].units[0].n
    if stack.geometry[-1].dense:
        return (channels,)
    return channels, *(output_side(side, below, axis) for axis, side in enumerate(_picture(stack)[1:]))


def _picture(stack: Stack) -> tuple[int, ...]:
    channels, *size = stack.picture
    return channels, *trimmed_size(size, stack.geometry)
