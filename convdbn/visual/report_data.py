"""The projections and responses of every unit for a report; `report` lays them out."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from convdbn.evaluation.selectivity import lifetime_sparseness, mutual_information
from convdbn.images import Images
from convdbn.models.extract import pieces
from convdbn.models.passes import upward, visible
from convdbn.models.stack import Stack
from convdbn.visual.patches import Best, cut, strongest
from convdbn.visual.projections import linear_combination, maximize, top_down

PATCHES = 9
"""Number of best patches for each unit."""
BINS = 20
"""Number of bins in a unit's histogram."""
CHUNK = 16
"""Number of units to project at once."""

Projections = dict[str, Tensor]
"""Pictures `(U, c, h, w)` of all units of a layer, by the name of the method."""


class Responses(NamedTuple):
    """The responses of the U units of a layer to N pictures; a unit's activity on a picture is its highest one, in a
    convolutional layer that of its pooling units."""

    best: Best
    mean: Tensor  # (U,)
    edges: Tensor  # (BINS + 1,), of the bins of activity, the same for all units of the layer
    histogram: Tensor  # (U, BINS), pictures in each bin
    sparseness: Tensor  # (U,), lifetime sparseness, a measure of selectivity
    information: Tensor | None  # (U,), bits about the class
    class_means: Tensor | None  # (U, C), mean activity by class, NaN for classes without a picture


def projections(stack: Stack, *, generator: torch.Generator) -> list[Projections]:
    """The projections of every unit of every layer, the lowest first, by each method."""
    methods: dict[str, Callable[[Stack, int, range], Tensor]] = {
        "linear combination": linear_combination,
        "top-down": top_down,
        "maximized input": partial(maximize, generator=generator),
    }
    results: list[Projections] = []
    with tqdm(
        total=sum(layer.unit.n for layer in stack.layers), desc="projections", unit="unit", disable=None
    ) as bar:
        for number, layer in enumerate(stack.layers, start=1):
            parts: dict[str, list[Tensor]] = {name: [] for name in methods}
            for first in range(0, layer.unit.n, CHUNK):
                units = range(first, min(first + CHUNK, layer.unit.n))
                for name, method in methods.items():
                    parts[name].append(method(stack, number, units).cpu())
                bar.update(len(units))
            results.append({name: torch.cat(pictures) for name, pictures in parts.items()})
    return results


@torch.no_grad()
def responses(stack: Stack, images: Images) -> list[Responses]:
    """The responses of every layer, the lowest first, in a single pass over the pictures."""
    depth, joint = len(stack.layers), any(len(machine.units) > 2 for machine in stack.machines)
    places = [torch.empty(layer.unit.n, 0, 4, dtype=torch.float64) for layer in stack.layers]
    rows: list[list[Tensor]] = [[] for _ in stack.layers]
    for first, batch in pieces(images):
        fields = upward(stack, visible(stack, batch, depth), depth)
        # In a machine of several hidden layers, features also depend on the layers above.
        maps = stack.features(batch, sizes="trim") if joint else None
        for index, (layer, field) in enumerate(zip(stack.layers, fields, strict=True)):
            places[index] = strongest(places[index], layer.unit.biased(field), first, PATCHES)
            pooled = maps[index] if maps else layer.unit.pooling_mean(field)
            rows[index].append((pooled.amax((2, 3)) if pooled.ndim == 4 else pooled).cpu())
    results = []
    for number, (layer, place, row) in enumerate(zip(stack.layers, places, rows, strict=True), start=1):
        best = cut(stack, number, images, place, stack.geometry)
        results.append(_measure(best, torch.cat(row), layer.unit.limits, images))
    return results


def _measure(best: Best, activity: Tensor, limits: tuple[float, float], images: Images) -> Responses:
    """The responses of `(N, U)` activities, whose values are in `limits`."""
    low, high = (
        limit if np.isfinite(limit) else float(extreme)
        for limit, extreme in zip(limits, activity.aminmax(), strict=True)
    )
    edges = torch.linspace(low, high if high > low else low + 1, BINS + 1)
    places = torch.bucketize(activity, edges[1:-1], right=True)
    histogram = torch.stack([(places == place).sum(0) for place in range(BINS)], 1)
    information = class_means = None
    if images.labels is not None:
        information = torch.from_numpy(mutual_information(activity.numpy(), images.labels.numpy()))
        means = [activity[images.labels == number].mean(0) for number in range(len(images.classes))]
        class_means = torch.stack(means, 1)
    return Responses(
        best, activity.mean(0), edges, histogram, lifetime_sparseness(activity), information, class_means
    )
