"""Pictures completed from a part: what a model expects of pixels that are covered, given the others."""

from typing import Literal, get_args

import torch
from torch import Tensor

from convdbn.energy import BoltzmannMachine, mean_per_unit
from convdbn.errors import UsageError
from convdbn.models.compose import chained
from convdbn.models.stack import Stack
from convdbn.sampling.gibbs import draw, start, sweep, update

Cover = Literal["left", "right", "top", "bottom"]
CHAINS = 10
"""Chains for each picture: averages of independent ones come nearer the expectation than tempering that costs as
much."""


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
    if stack.deep or len({layer.dense for layer in stack.geometry}) > 1:
        raise UsageError("checkpoint: convolutional and connected layers in one stack cannot be inferred together")
    if any(machine.units[0].kind != "bernoulli" for machine in stack.machines[1:]):
        raise UsageError(
            "checkpoint: layers above the first that do not see probabilities cannot be inferred together"
        )
    machine = chained(stack)
    for depth, above in enumerate(stack.machines[1:]):
        x = stack.infer(x, depth)[-1]
        typical = mean_per_unit(x).clamp(1e-4, 1 - 1e-4)
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

    Chains of Gibbs sampling with the kept pixels clamped, `CHAINS` for each picture, each from its own draw of the
    rest; expectations are averages over all of them and over the second half of the sweeps, each of means given the
    hidden layers.
    """
    each = x.repeat(CHAINS, *[1] * (x.ndim - 1))
    blank = machine.units[0].sample(torch.zeros_like(each), generator=generator)
    state = start(machine, (torch.where(kept, each, blank), *[None] * (len(machine.units) - 1)))
    state = update(machine, state, 1, draw(generator))
    total, count = torch.zeros_like(x), 0
    for step in range(sweeps):
        state = sweep(machine, state, draw(generator), clamp={0: kept})
        if step >= sweeps // 2:
            means = machine.units[0].mean(machine.field(state, 0))
            total, count = total + means.view(CHAINS, *x.shape).mean(0), count + 1
    return torch.where(kept, x, total / count)
