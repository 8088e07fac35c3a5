"""Statistics of a model for plots; `figures` and `plots` draw them."""

import copy
import dataclasses

import torch
from torch import Tensor
from torch.nn import functional as F

from convdbn.energy import spread
from convdbn.errors import UsageError
from convdbn.images import Images
from convdbn.learning.layer_inputs import input_for
from convdbn.learning.trainer import Trainer
from convdbn.models.extract import pieces
from convdbn.models.fitting import trimmed
from convdbn.models.stack import Stack
from convdbn.recipes import Recipe
from convdbn.visual.projections import Units, unit_indices

SETTLED = 20
"""Number of updates after which momentum and Adam's scales have settled."""


def weights(stack: Stack) -> list[Tensor]:
    """The weights of every layer, the lowest first."""
    return [layer.link.weight.detach().cpu() for layer in stack.layers]


def updates(stack: Stack, recipe: Recipe, images: Images) -> list[Tensor]:
    """The change of every layer's weights, in their shape, in one update when training by `recipe` continues on these
    pictures at its first rate: the last of 20 updates, so that momentum and Adam's scales have settled.

    UsageError for a model that was combined or changed after its training.
    """
    if len(recipe.machines) != len(stack.machines) or len(stack.generative):
        raise UsageError("model: differs from the result of its recipe; give a run of `convdbn train`")
    copied, steps = copy.deepcopy(stack), []
    for depth, (machine, settings) in enumerate(zip(copied.machines, recipe.machines, strict=True)):
        on = dataclasses.replace(settings, updates=SETTLED, rate_end=settings.rate, sigma=settings.sigma_end)
        inputs = input_for(stack, images, recipe, depth, settings=on, cache_bytes=0)
        like = machine.units[0].bias
        trainer = Trainer(machine, on, generator=torch.Generator(like.device).manual_seed(recipe.seed))
        steps.append(trainer.steps(batch.to(like) for batch in inputs.batches(0)))
        for _ in range(SETTLED - 1):
            next(steps[-1])
    before = [weight.clone() for weight in weights(copied)]
    for last in steps:
        next(last)
    return [new - old for new, old in zip(weights(copied), before, strict=True)]


def activities(stack: Stack, layer: int, *, images: Images) -> Tensor:
    """Activity of every unit on each picture, `(cases, units)`; the activity of a map is that of its strongest
    pooling unit."""
    return torch.cat([x.amax((2, 3)) if x.ndim == 4 else x for x in _features(stack, layer, images)])


def probabilities(stack: Stack, layer: int, *, images: Images) -> Tensor:
    """The probabilities of all pooling units of a layer over all pictures, one after the other, `(n,)`."""
    return torch.cat([x.flatten() for x in _features(stack, layer, images)])


@torch.no_grad()
def most_active(stack: Stack, layer: int, count: int, *, images: Tensor) -> list[int]:
    """The `count` units whose strongest responses to the pictures are highest on average, the highest first."""
    x = stack.features(images, depth=layer, sizes="trim")[-1]
    highest = x.flatten(2).amax(2) if x.ndim == 4 else x
    return highest.mean(0).argsort(descending=True)[:count].tolist()


@torch.no_grad()
def maps_over(stack: Stack, layer: int, units: Units = None, *, images: Tensor) -> tuple[Tensor, Tensor]:
    """The pictures `(B, c, H, W)` after trimming, and the maps `(B, U, H, W)` of their pooling units.

    A pooling unit covers one stride of pixels in the middle of its receptive field; pixels at the edge without a unit
    have 0.
    """
    index = unit_indices(stack, layer, units)
    below = stack.geometry[:layer]
    if below[-1].dense:
        raise UsageError(f"layer={layer}: a fully connected layer has no maps; take a convolutional one, or cases")
    maps = stack.features(images, depth=layer, sizes="trim")[-1][:, index]
    pictures = trimmed(stack.transform.shaping(images), below)
    stride = stack.feature_info[layer - 1].reduction
    maps = spread(maps, stride)
    down, right = (pictures.shape[axis] - maps.shape[axis] for axis in (2, 3))
    return pictures.cpu(), F.pad(maps, [right // 2, right - right // 2, down // 2, down - down // 2]).cpu()


def _features(stack: Stack, layer: int, images: Images) -> list[Tensor]:
    """The features of each batch, or of each picture if sizes differ."""
    unit_indices(stack, layer, None)
    return [stack.features(batch, depth=layer, sizes="trim")[-1].cpu() for _, batch in pieces(images)]
