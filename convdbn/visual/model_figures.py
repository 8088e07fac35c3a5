"""Figures of learning, weights, responses and errors: a function for each figure of `plot`.

`layer` is a single layer, 1 being the lowest; by default all layers. Pictures are the first `count`.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from convdbn.errors import UsageError
from convdbn.images import Images
from convdbn.learning import finetune
from convdbn.models.classifier import Classifier
from convdbn.models.generate import generate, seeded
from convdbn.models.passes import visible
from convdbn.models.stack import Stack
from convdbn.recipes import Recipe
from convdbn.visual import figures, plots, statistics
from convdbn.visual.projections import Units, unit_indices
from convdbn.visual.unit_figures import FEW, first_batch, layers_of, space

CASES = 100
"""Default number of pictures for statistics."""


def curves(history: Sequence[Mapping[str, float]], *, layer: int | None = None) -> Figure:
    """Learning curves from the rows of metrics of a run."""
    rows = [row for row in history if layer in (None, row["layer"])]
    if not rows:
        raise UsageError(f"layer={layer}: the run has no metrics of it; take a layer that the run trained")
    return plots.curves(rows)


def weights(model: Stack, *, layer: int | None = None) -> Figure:
    """Histograms of the weights of each layer."""
    return _histograms(model, layer, lambda number: statistics.weights(model)[number - 1], "weight")


def updates(model: Stack, images: Images, recipe: Recipe, *, layer: int | None = None, count: int = CASES) -> Figure:
    """Histograms of the changes of the weights in one further update on the pictures, at the recipe's first rate."""
    layers_of(model, layer)
    changes = statistics.updates(model, recipe, first(images, count))
    return _histograms(model, layer, lambda number: changes[number - 1], "update of a weight")


def activities(model: Stack, images: Images, *, layer: int | None = None, count: int = CASES) -> Figure:
    """Histograms of the probabilities of the pooling units over the pictures."""
    pictures = first(images, count)
    label = "activity of a pooling unit"
    return _histograms(model, layer, lambda number: statistics.probabilities(model, number, images=pictures), label)


def cases(model: Stack, images: Images, *, layer: int | None = None, count: int = CASES) -> Figure:
    """Activities case by case: a row for each picture, a column for each unit; maps give their strongest response."""
    pictures, numbers = first(images, count), layers_of(model, layer)
    values = [statistics.activities(model, number, images=pictures) for number in numbers]
    return plots.activity(values, _titles(model, numbers))


def maps(model: Stack, images: Images, *, layer: int | None = None, units: Units = None, count: int = FEW) -> Figure:
    """Where on the pictures units respond; by default the 8 most active units of the highest convolutional layer."""
    if layer is None:
        layer = max((n for n, shape in enumerate(model.geometry, 1) if not shape.dense), default=1)
    indices = unit_indices(model, layer, units).tolist()
    batch = first_batch(model, images, count)
    if units is None:
        indices = statistics.most_active(model, layer, FEW, images=batch)
    pictures, responses = statistics.maps_over(model, layer, indices, images=batch)
    return figures.overlays(pictures, responses, [f"unit {unit}" for unit in indices], f"maps of layer {layer}")


def chains(
    model: Stack, images: Images | None = None, *, count: int = FEW, sweeps: int = 1000, seed: int = 0
) -> Figure:
    """Samples of Gibbs chains of the top layers after 0, 1, 10, 100, ... and `sweeps` sweeps: a row for each chain.

    Chains begin at the pictures, or without pictures at noise, and are not cooled.
    """
    begin = None if images is None else visible(model, first_batch(model, images, count), len(model.layers))
    at = [0, *(10**power for power in range(len(str(sweeps))) if 10**power < sweeps), sweeps]
    number = count if begin is None else len(begin)
    samples = generate(model, number, burn_in=0, at=at, generator=seeded(model, seed), begin=begin)
    rows = torch.stack([pictures.cpu() for pictures in samples], 1)
    labels = [f"chain {chain}" for chain in range(1, number + 1)]
    start = "noise" if images is None else images.name
    title = f"chains from {start}, after each number of sweeps, {space(model)}"
    return figures.labeled_rows(list(rows), labels, title, [f"{sweep:,}" for sweep in at])


def confusion(network: Classifier, test: Images) -> Figure:
    """The confusion matrix of the classifier on the test pictures."""
    if test.classes != network.classes:
        raise UsageError(
            f"data={test.name!r}: has the classes {test.classes}, but the classifier has {network.classes}; take the "
            "data of its training"
        )
    counts = finetune.confusion(network, test)
    wrong = int(counts.sum() - counts.trace())
    share = 100 * wrong / len(test)
    title = f"{test.name}: {wrong} of {len(test)} test pictures taken for another class, {share:.2f} %"
    return plots.confusion(counts, network.classes, title)


def first(images: Images, count: int) -> Images:
    """The first `count` pictures."""
    return images.select(range(min(count, len(images))))


def _histograms(model: Stack, layer: int | None, values: Callable[[int], Tensor], label: str) -> Figure:
    numbers = layers_of(model, layer)
    titles = _titles(model, numbers)
    return plots.histograms([values(number) for number in numbers], titles, label)


def _titles(model: Stack, layers: Sequence[int]) -> list[str]:
    return [f"layer {number}: {len(unit_indices(model, number, None))} units" for number in layers]
