"""Pictures completed from a part: what a model expects of pixels that are covered, given the others."""

from typing import Literal, get_args

import torch
from torch import Tensor

from convdbn.energy import BoltzmannMachine, Conv
from convdbn.errors import UsageError
from convdbn.learning.penalties import activation
from convdbn.models.compose import chained
from convdbn.models.stack import Stack
from convdbn.sampling.gibbs import draw, start, update
from convdbn.sampling.tempering import ladder, replicas, tempered_sweep

Cover = Literal["left", "right", "top", "bottom"]
TEMPERATURES = 10


@torch.no_grad()
def joined(stack: Stack, x: Tensor) -> BoltzmannMachine:
    """The layers of a stack as one deep machine, for inference upwards and downwards together (Lee et al. 2009,
    section 3.6); `x` are pictures as layer 1 sees them.

    The energies of the machines are added. What a lower machine alone expected of its hidden layer is taken back, or
    it would count twice: the bias of a layer in the middle is that of its machine, plus that of the one above, less
    the log-odds of the layer's mean over `x`. UsageError for a connected layer on convolutional ones, and for layers
    in the middle that are not binary.
    """
    if len(stack.machines) == 1:
        return stack.machines[0]
    if len({isinstance(link, Conv) for link, _ in stack.layers}) > 1 or len(stack.layers) > len(stack.machines):
        raise UsageError("checkpoint: convolutional and connected layers in one stack cannot be inferred together")
    if any(machine.units[0].kind != "bernoulli" for machine in stack.machines[1:]):
        raise UsageError(
            "checkpoint: layers above the first that do not see probabilities cannot be inferred together"
        )
    machine = chained(stack)
    for depth, above in enumerate(stack.machines[1:]):
        x = stack.infer(x, depth)[-1]
        typical = activation(x).clamp(1e-4, 1 - 1e-4)
        machine.units[depth + 1].bias.add_(above.units[0].bias - typical.logit())
    return machine


def seen(shape: tuple[int, ...], cover: Cover) -> Tensor:
    """True at the pixels of pictures `(c, h, w)` that stay, in that shape."""
    if cover not in get_args(Cover):
        raise UsageError(f"cover={cover!r}: choose from {', '.join(get_args(Cover))}")
    kept = torch.ones(shape, dtype=torch.bool)
    _, height, width = shape
    half = {
        "left": (slice(None), slice(None, width // 2)),
        "right": (slice(None), slice(width - width // 2, None)),
        "top": (slice(None, height // 2), slice(None)),
        "bottom": (slice(height - height // 2, None), slice(None)),
    }[cover]
    kept[(slice(None), *half)] = False
    return kept


@torch.no_grad()
def complete(
    machine: BoltzmannMachine, x: Tensor, kept: Tensor, *, sweeps: int, generator: torch.Generator
) -> Tensor:
    """Visible states with everything outside `kept` at its expectation given the rest, in the shape of `x`.

    Parallel tempering with the kept pixels clamped, from a draw of the rest at infinite temperature; expectations are
    averages over the second half of the sweeps, each of means given the hidden layer.
    """
    blank = machine.units[0].sample(torch.zeros_like(x), generator=generator)
    visible = torch.where(kept, x, blank)
    state = start(machine, (visible, *[None] * (len(machine.units) - 1)))
    state = replicas(update(machine, state, 1, draw(generator)), TEMPERATURES)
    betas, clamp = ladder(TEMPERATURES, like=x), {0: kept}
    total, count = torch.zeros_like(x), 0
    for step in range(sweeps):
        state = tempered_sweep(machine, state, betas, generator=generator, odd=step % 2 == 1, clamp=clamp)
        if 2 * step >= sweeps:
            cold = tuple(layer[: len(x)] for layer in state)
            total, count = total + machine.units[0].mean(machine.field(cold, 0)), count + 1
    return torch.where(kept, x, total / count)
