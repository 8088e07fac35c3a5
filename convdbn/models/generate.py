"""What a model would draw: Gibbs sampling in its top machine, then one pass down through the layers below it."""

from collections.abc import Iterator

import torch
from torch import Tensor

from convdbn.energy import BoltzmannMachine, State
from convdbn.models.geometry import output_side, trimmed, trimmed_size
from convdbn.models.passes import downward, places, unpooled
from convdbn.models.stack import Stack
from convdbn.sampling.gibbs import draw, gibbs, start, update
from convdbn.sampling.tempering import ladder, replicas, tempered_sweep

TEMPERATURES = 20


@torch.no_grad()
def generate(
    stack: Stack,
    count: int,
    *,
    burn_in: int,
    sweeps: int,
    frames: int,
    generator: torch.Generator,
    begin: Tensor | None = None,
) -> Iterator[Tensor]:
    """After `burn_in` sweeps, `frames` times and `sweeps` apart, a mean picture of each chain, `(count, c, h, w)`.

    The chains are those of the generator of Hinton, Osindero and Teh (2006, section 7): the top machine at thermal
    equilibrium, everything below from the top down. They begin at `begin`, pictures as layer 1 sees them, or else at
    infinite temperature, and the burn-in is parallel tempering. Pictures are in the space of the transformed ones, of
    the size of layer 1's training less the border that the pooling blocks do not divide.
    """
    top = stack.machines[-1]
    if begin is not None:
        x = trimmed(begin, stack.geometry)
        for index in range(len(stack.machines) - 1):
            x = stack.infer(x, index)[-1]
        x = x.flatten(1) if len(top.shapes(_visible(stack))[0]) == 1 else x
        state = update(top, start(top, (x, *[None] * (len(top.units) - 1))), 1, draw(generator))
        state = gibbs(top, state, burn_in, generator=generator)
    else:
        state = _cooled(top, independent(top, _visible(stack), count, generator), burn_in, generator)
    for _ in range(frames):
        if len(stack.machines) == 1:
            yield top.units[0].mean(top.field(state, 0)).view(count, *_picture(stack))
        else:
            below = [place.machine for place in places(stack)].index(len(stack.machines) - 1)
            yield downward(stack, below, unpooled(stack, below, state[0]), draw(generator))
        state = gibbs(top, state, sweeps, generator=generator)


def independent(machine: BoltzmannMachine, visible: tuple[int, ...], count: int, generator: torch.Generator) -> State:
    """States at beta 0."""
    like = machine.units[0].bias
    return tuple(
        unit.sample(torch.zeros(count, *shape, device=like.device, dtype=like.dtype), generator=generator)
        for unit, shape in zip(machine.units, machine.shapes(visible), strict=True)
    )


def _cooled(machine: BoltzmannMachine, state: State, sweeps: int, generator: torch.Generator) -> State:
    count, betas = len(state[0]), ladder(TEMPERATURES, like=state[0])
    state = replicas(state, TEMPERATURES)
    for step in range(sweeps):
        state = tempered_sweep(machine, state, betas, generator=generator, odd=step % 2 == 1)
    return tuple(x[:count] for x in state)


def _visible(stack: Stack) -> tuple[int, ...]:
    """Shape of the visible layer of the top machine, over pictures of the trained size."""
    below = stack.geometry[: len(stack.machines) - 1]
    channels = stack.machines[-1].units[0].n
    if stack.geometry[-1].kernel == (0, 0):
        return (channels,)
    return channels, *(output_side(side, below, axis) for axis, side in enumerate(_picture(stack)[1:]))


def _picture(stack: Stack) -> tuple[int, ...]:
    channels, *size = stack.picture
    return channels, *trimmed_size(size, stack.geometry)
