"""Pictures completed from a part: what a model expects of pixels that are covered, and how well it guesses them."""

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from convdbn.energy import BoltzmannMachine
from convdbn.errors import UsageError
from convdbn.images import Images
from convdbn.learning.layer_inputs import prepared
from convdbn.models.compose import as_dbm
from convdbn.models.geometry import trimmed
from convdbn.models.stack import Stack
from convdbn.sampling.gibbs import draw, start, sweep, update

Cover = Literal["left", "right", "top", "bottom"]
CHAINS = 10
"""Chains for each picture: averages of independent ones come nearer the expectation than tempering that costs as
much."""
KNOWN = 5000
"""Training pictures that the baselines know."""


def kept_half(shape: tuple[int, ...], cover: Cover) -> Tensor:
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


class Completed(NamedTuple):
    """Pictures `(N, c, h, w)` as they were and completed, the mask of what was seen, and squared errors per covered
    pixel: of the model, of the mean training picture, and of the training picture that is nearest in what is seen."""

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
    """The test pictures with one half covered, inferred through all layers from the other."""
    known, unseen = _pictures(stack, train.select(range(min(KNOWN, len(train))))), _pictures(stack, test)
    kept = kept_half(tuple(unseen.shape[1:]), cover).to(unseen.device)
    dense = stack.geometry[0].dense
    x, known_x, mask = (y.flatten(-3) if dense else y for y in (unseen, known, kept))
    found = complete(as_dbm(stack, known_x), x, mask, sweeps=sweeps, generator=generator).view_as(unseen)
    covered = ~kept

    def error(guess: Tensor) -> float:
        return float((guess - unseen)[:, covered].square().mean())

    nearest = torch.cdist(unseen[:, kept], known[:, kept]).argmin(1)
    return Completed(unseen, found, kept, error(found), error(known.mean(0)[None]), error(known[nearest]))


def _pictures(stack: Stack, images: Images) -> Tensor:
    """As layer 1 sees them, without the border that the blocks do not divide."""
    x = prepared(stack, images)
    return trimmed(x.view(len(x), *stack.picture) if x.ndim == 2 else x, stack.geometry)
