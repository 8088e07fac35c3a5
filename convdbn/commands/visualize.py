"""`visualize`: what the units of the layers mean in the space of pictures."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from convdbn.commands.inputs import PIXELS, first_batch, pictures_for, space
from convdbn.commands.load import load
from convdbn.commands.options import (
    FEW,
    FIGURE,
    PICTURES,
    check_choice,
    check_counts,
    check_output,
    others,
    refuse_ignored,
    require_data,
    seeded,
)

if TYPE_CHECKING:
    from torch import Tensor

    from convdbn.images import Images
    from convdbn.models.stack import Stack


Method = Literal["linear", "top-down", "samples", "maximize", "patches", "path", "reconstruction"]
NAMES = {
    "linear": "linear combination of filters",
    "top-down": "top-down from the unit alone",
    "samples": "samples, unit on less unit off",
    "maximize": "maximized input",
    "patches": "best patches",
    "path": "pixels that switch the unit on",
    "reconstruction": "reconstruction",
}
"""What a title says of each method."""
METHODS: dict[str, set[str]] = {
    "linear": {"units", "side_by_side"},
    "top-down": {"units", "side_by_side"},
    "samples": {"units", "side_by_side", "seed"},
    "maximize": {"units", "side_by_side", "seed"},
    "patches": {"units", "side_by_side", *PICTURES},
    "path": {"units", *PICTURES},
    "reconstruction": {"seed", *PICTURES},
}
NAMED = 20
"""Units that a title can name."""


def visualize(
    *,
    checkpoint: str | Path,
    output: str | Path,
    layer: int | None = None,
    method: Method = "linear",
    units: list[int] | None = None,
    side_by_side: bool = False,
    data: str | Path | None = None,
    split: Literal["train", "test"] = "train",
    count: int = 9,
    data_root: str | Path | None = None,
    download: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> Path:
    """Draw what the units of the layers mean in the space of pictures; the written file.

    Pictures are those that layer 1 sees, after the transform, but for patches, which are cut from the pictures
    themselves.

    Args:
        checkpoint: run folder, model file, or the name of a model of the package.
        output: picture to write, .png, .pdf or .svg.
        layer: one layer alone, 1 being the lowest; all of them otherwise.
        method: linear, top-down, samples or maximize; patches, path or reconstruction of data's pictures.
        units: units to show, such as [0, 5]; all of them otherwise, and for path the 8 most active.
        side_by_side: layers beside one another instead of below.
        data: pictures for patches, path and reconstruction, as for `train`.
        split: train or test, for data sets that have one.
        count: patches of each unit, the best of all pictures; or pictures for path and reconstruction.
        data_root: where the torchvision data sets lie.
        download: fetch a torchvision data set that is not there.
        seed: seed of samples, maximize, and reconstruction in deep Boltzmann machines.
        device: auto, cpu, cuda, ...
    """
    check_output(output, *FIGURE)
    check_choice("method", method, METHODS)
    refuse_ignored(visualize, locals(), others(METHODS, method), f"method={method!r}")
    check_counts(count=count)
    if "data" in METHODS[method]:
        require_data(data, f"method={method!r}")
    model = load(checkpoint, device=device)
    images = None if data is None else pictures_for(model, data, data_root, download, split)
    from convdbn.visual import figures

    layers = list(range(1, len(model.layers) + 1)) if layer is None else [layer]
    if method in ("path", "reconstruction"):
        assert images is not None
        rows, labels = _rows(model, method, layers, units, first_batch(model, images, count), seed)
        return figures.save(figures.labeled_rows(rows, labels, _title(model, method)), output)
    pictures = [_pictures(model, method, number, units, images, count, seed) for number in layers]
    which = f"units {', '.join(map(str, units))}" if units and len(units) <= NAMED else None
    titles = [f"layer {number}: {which or f'{len(x)} units'}" for number, x in zip(layers, pictures, strict=True)]
    look: dict[str, Any] = {"signed": any(float(x.min()) < 0 or float(x.max()) > 1 for x in pictures)}
    look |= {"gap": 3} if method == "patches" else {}
    if side_by_side:
        return figures.save(figures.panels(pictures, titles, _title(model, method), **look), output)
    look |= {"columns": FEW} if method == "patches" else {}
    return figures.save(figures.filter_grids(pictures, titles, _title(model, method), **look), output)


def _pictures(
    model: "Stack", method: str, layer: int, units: list[int] | None, images: "Images | None", count: int, seed: int
) -> "Tensor":
    """One picture for each unit of a layer."""
    from convdbn.visual import figures, patches, projections

    if method == "patches":
        assert images is not None
        return figures.blocks(patches.best_patches(model, layer, units, images=images, count=count).patches)
    if method == "linear":
        return projections.linear_combination(model, layer, units).cpu()
    if method == "top-down":
        return projections.top_down(model, layer, units).cpu()
    draw = projections.clamped_samples if method == "samples" else projections.maximize
    return draw(model, layer, units, generator=seeded(model, seed)).cpu()


def _rows(
    model: "Stack", method: str, layers: list[int], units: list[int] | None, batch: "Tensor", seed: int
) -> tuple[list["Tensor"], list[str]]:
    """Rows of pictures and what they are: those that layer 1 sees, then what each layer or unit makes of them."""
    from convdbn.visual import projections, statistics

    rows, labels = [model.prepare(batch).cpu()], ["picture"]
    for layer in layers:
        if method == "reconstruction":
            rows.append(projections.reconstruction(model, layer, images=batch, generator=seeded(model, seed)).cpu())
            labels.append(f"layer {layer}")
            continue
        shown = statistics.most_active(model, layer, FEW, images=batch) if units is None else units
        rows += projections.path(model, layer, shown, images=batch).transpose(0, 1).cpu()
        labels += [f"layer {layer}, unit {unit}" for unit in shown]
    return rows, labels


def _title(model: "Stack", method: str) -> str:
    """The method, and in what space its results are."""
    return f"{NAMES[method]}, {PIXELS if method == 'patches' else space(model)}"
