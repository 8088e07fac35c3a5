"""Figures of units in the space of pictures: a function for each method of `visualize`.

`layer` is a single layer, 1 being the lowest, by default all layers; `units` are some of its units, such as [0, 5],
by default all. The pictures are inputs of layer 1, after the transform; patches are cut from the pictures themselves.
"""

from collections.abc import Callable

from matplotlib.figure import Figure
from torch import Tensor

from convdbn.images import Images
from convdbn.models.generate import seeded
from convdbn.models.stack import Stack
from convdbn.visual import figures, projections, statistics
from convdbn.visual.patches import best_patches
from convdbn.visual.projections import Units, unit_indices

FEW = 8
"""Default number of units, in figures without room for all units of a layer."""
NAMED = 20
"""Largest number of units in a title."""
PIXELS = "in the pixels of pictures"


def linear(model: Stack, *, layer: int | None = None, units: Units = None, side_by_side: bool = False) -> Figure:
    """Filters, each painted with the filters below it (`projections.linear_combination`)."""
    return _grids(
        model,
        lambda number: projections.linear_combination(model, number, units),
        f"linear combination of filters, {space(model)}",
        layer,
        units,
        side_by_side,
    )


def top_down(model: Stack, *, layer: int | None = None, units: Units = None, side_by_side: bool = False) -> Figure:
    """The mean picture with each unit on, less that with all units off (`projections.top_down`)."""
    return _grids(
        model,
        lambda number: projections.top_down(model, number, units),
        f"top-down from the unit alone, {space(model)}",
        layer,
        units,
        side_by_side,
    )


def samples(
    model: Stack, *, layer: int | None = None, units: Units = None, side_by_side: bool = False, seed: int = 0
) -> Figure:
    """The mean sample with a unit on, less that with the unit off (`projections.clamped_samples`)."""
    return _grids(
        model,
        lambda number: projections.clamped_samples(model, number, units, generator=seeded(model, seed)),
        f"samples, unit on less unit off, {space(model)}",
        layer,
        units,
        side_by_side,
    )


def maximize(
    model: Stack, *, layer: int | None = None, units: Units = None, side_by_side: bool = False, seed: int = 0
) -> Figure:
    """The input that excites each unit most (`projections.maximize`)."""
    return _grids(
        model,
        lambda number: projections.maximize(model, number, units, generator=seeded(model, seed)),
        f"maximized input, {space(model)}",
        layer,
        units,
        side_by_side,
    )


def patches(
    model: Stack,
    images: Images,
    *,
    layer: int | None = None,
    units: Units = None,
    count: int = 9,
    side_by_side: bool = False,
) -> Figure:
    """The `count` patches that excite each unit most (`patches.best_patches`)."""
    return _grids(
        model,
        lambda number: figures.blocks(best_patches(model, number, units, images=images, count=count).patches),
        f"best patches, {PIXELS}",
        layer,
        units,
        side_by_side,
        gap=3,
        columns=FEW,
    )


def path(model: Stack, images: Images, *, layer: int | None = None, units: Units = None, count: int = 9) -> Figure:
    """The pixels of the first `count` pictures that switch units on (`projections.path`): a row for each unit, by
    default for the 8 most active units of a layer."""
    batch = first_batch(model, images, count)
    rows, labels = [model.prepare(batch).cpu()], ["picture"]
    for number in layers_of(model, layer):
        drawn = statistics.most_active(model, number, FEW, images=batch) if units is None else units
        indices = unit_indices(model, number, drawn).tolist()
        rows += projections.path(model, number, indices, images=batch).transpose(0, 1).cpu()
        labels += [f"layer {number}, unit {unit}" for unit in indices]
    return figures.labeled_rows(rows, labels, f"pixels that switch the unit on, {space(model)}")


def reconstruction(
    model: Stack, images: Images, *, layer: int | None = None, count: int = 9, seed: int = 0
) -> Figure:
    """Reconstructions of the first `count` pictures from each layer (`projections.reconstruction`)."""
    batch = first_batch(model, images, count)
    rows, labels = [model.prepare(batch).cpu()], ["picture"]
    for number in layers_of(model, layer):
        generator = seeded(model, seed)
        rows.append(projections.reconstruction(model, number, images=batch, generator=generator).cpu())
        labels.append(f"layer {number}")
    return figures.labeled_rows(rows, labels, f"reconstruction, {space(model)}")


def layers_of(model: Stack, layer: int | None) -> list[int]:
    """The numbers of all layers, or only this one; UsageError for a layer that the model does not have."""
    if layer is None:
        return list(range(1, len(model.layers) + 1))
    model.layer(layer)
    return [layer]


def first_batch(model: Stack, images: Images, count: int) -> Tensor:
    """The first `count` pictures as one batch."""
    return model.transform.batch(images, range(min(count, len(images))))


def space(model: Stack) -> str:
    """A description of the transform of the pictures, for titles."""
    steps = [step["kind"] for step in model.transform.spec()]
    return f"in the space of pictures after {', '.join(steps)}" if steps else PIXELS


def _named(indices: list[int], units: Units) -> str:
    """The units of a grid: their number, or, if there is room for those that were asked for, their numbers."""
    if units is None or len(indices) > NAMED:
        return f"{len(indices)} units"
    return f"unit{'s' * (len(indices) > 1)} {', '.join(map(str, indices))}"


def _grids(
    model: Stack,
    pictures_of: Callable[[int], Tensor],
    title: str,
    layer: int | None,
    units: Units,
    side_by_side: bool,
    *,
    gap: int = 1,
    columns: int = 16,
) -> Figure:
    """A grid for each layer with one picture of each unit, one below the other or side by side."""
    numbers = layers_of(model, layer)
    indices = [unit_indices(model, number, units).tolist() for number in numbers]
    grids = [pictures_of(number).cpu() for number in numbers]
    titles = [f"layer {number}: {_named(x, units)}" for number, x in zip(numbers, indices, strict=True)]
    signed = any(float(x.min()) < 0 or float(x.max()) > 1 for x in grids)
    if side_by_side:
        return figures.panels(grids, titles, title, numbers=indices, gap=gap, signed=signed)
    return figures.filter_grids(grids, titles, title, numbers=indices, columns=columns, gap=gap, signed=signed)
