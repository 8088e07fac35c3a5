"""How well covered pixels are guessed, against guesses that know no model."""

from typing import NamedTuple

import torch
from torch import Tensor

from convdbn.evaluation.completion import Cover, complete, joined, seen
from convdbn.images import Images
from convdbn.learning.layer_inputs import prepared
from convdbn.models.geometry import trimmed
from convdbn.models.stack import Stack

KNOWN = 5000
"""Training pictures that the baselines know."""


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
    kept = seen(tuple(unseen.shape[1:]), cover).to(unseen.device)
    dense = stack.geometry[0].dense
    x, known_x, mask = (y.flatten(-3) if dense else y for y in (unseen, known, kept))
    found = complete(joined(stack, known_x), x, mask, sweeps=sweeps, generator=generator).view_as(unseen)
    covered = ~kept

    def error(guess: Tensor) -> float:
        return float((guess - unseen)[:, covered].square().mean())

    nearest = torch.cdist(unseen[:, kept], known[:, kept]).argmin(1)
    return Completed(unseen, found, kept, error(found), error(known.mean(0)[None]), error(known[nearest]))


def _pictures(stack: Stack, images: Images) -> Tensor:
    """As layer 1 sees them, without the border that the blocks do not divide."""
    x = prepared(stack, images)
    return trimmed(x.view(len(x), *stack.picture) if x.ndim == 2 else x, stack.geometry)
