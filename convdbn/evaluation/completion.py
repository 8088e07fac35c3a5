"""Completion of pictures: the expectation of covered pixels given the others, and its error."""

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from convdbn.energy import BoltzmannMachine
from convdbn.errors import UsageError
from convdbn.images import Images
from convdbn.learning.layer_inputs import prepared
from convdbn.models.compose import as_dbm
from convdbn.models.fitting import trimmed
from convdbn.models.stack import Stack
from convdbn.sampling.gibbs import draw, start, sweep, update

Cover = Literal["left", "right", "top", "bottom"]
CHAINS = 10
"""Chains for each picture: an average over independent chains comes nearer to the expectation than tempering at the
same cost."""
KNOWN = 5000
"""Training pictures for the baselines."""


def kept_half(shape: tuple[int, ...], cover: Cover) -> Tensor:
    """A mask of the shape of a picture, `(c, h, w)`: False at the pixels under the cover."""
    if cover not in get_args(Cover):
        raise UsageError(f"cover={cover!r}: choose from {', '.join(get_args(Cover))}")
    mask = torch.ones(shape, dtype=torch.bool)
    _, height, width = shape
    half = {
        "left": (slice(None), slice(None, width // 2)),
        "right": (slice(None), slice(width - width // 2, None)),
        "top": (slice(None, height // 2), slice(None)),
        "bottom": (slice(height - height // 2, None), slice(None)),
    }[cover]
    mask[(slice(None), *half)] = False
    return mask


@torch.no_grad()
def complete(
    machine: BoltzmannMachine, x: Tensor, kept: Tensor, *, sweeps: int, generator: torch.Generator
) -> Tensor:
    """Visible states `x` where the mask `kept` is True, and their expectation given these pixels elsewhere.

    Gibbs sampling with the `kept` pixels clamped, in `CHAINS` chains for each picture, each with its own start of the
    other pixels. The expectation is the average, over the chains and the second half of the sweeps, of the means
    given the hidden layers.
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


class Completed(NamedTuple):
    """Pictures `(N, c, h, w)`, their completions, the mask of the visible half, and squared errors per covered pixel:
    of the model, of the mean training picture, and of the training picture that is nearest in the visible half."""

    pictures: Tensor
    completed: Tensor
    kept: Tensor
    error: float
    mean_error: float
    nearest_error: float


@torch.no_grad()
def completed(
    stack: Stack, train: Images, test: Images, cover: Cover, *, sweeps: int, generator: torch.Generator
) -> Completed:
    """Cover one half of the test pictures and infer it from the other through all layers."""
    training, pictures = _pictures(stack, train.select(range(min(KNOWN, len(train))))), _pictures(stack, test)
    kept = kept_half(tuple(pictures.shape[1:]), cover).to(pictures.device)
    dense = stack.geometry[0].dense
    x, training_x, mask = (y.flatten(-3) if dense else y for y in (pictures, training, kept))
    guesses = complete(as_dbm(stack, training_x), x, mask, sweeps=sweeps, generator=generator).view_as(pictures)

    def error(guess: Tensor) -> float:
        return float((guess - pictures)[:, ~kept].square().mean())

    nearest = torch.cdist(pictures[:, kept], training[:, kept]).argmin(1)
    errors = error(guesses), error(training.mean(0)[None]), error(training[nearest])
    return Completed(pictures, guesses, kept, *errors)


def _pictures(stack: Stack, images: Images) -> Tensor:
    """The input of layer 1, without the border that the blocks do not divide."""
    x = prepared(stack, images)
    return trimmed(x.view(len(x), *stack.picture) if x.ndim == 2 else x, stack.geometry)
