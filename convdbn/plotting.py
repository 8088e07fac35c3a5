"""The verbs that show: what the units of a model mean, and how it learned, responds and errs."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from convdbn.api import load
from convdbn.errors import CheckpointError, UsageError
from convdbn.runs import FIGURE, check_counts, check_output, labeled_data, pictures_for, refuse_ignored, seeded

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from convdbn.images import Images
    from convdbn.models.stack import Stack

Method = Literal["linear", "top-down", "samples", "maximize", "patches", "path", "reconstruction"]
Plot = Literal["curves", "weights", "updates", "activities", "cases", "maps", "chains", "confusion"]

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
GIVEN = {"data", "split", "count", "data_root", "download"}
"""Options about pictures that are given."""
METHODS: dict[str, set[str]] = {
    "linear": {"units", "side_by_side"},
    "top-down": {"units", "side_by_side"},
    "samples": {"units", "side_by_side", "seed"},
    "maximize": {"units", "side_by_side", "seed"},
    "patches": {"units", "side_by_side", *GIVEN},
    "path": {"units", *GIVEN},
    "reconstruction": {"seed", *GIVEN},
}
FIGURES: dict[str, set[str]] = {
    "curves": {"layer"},
    "weights": {"layer"},
    "updates": {"layer", *GIVEN},
    "activities": {"layer", *GIVEN},
    "cases": {"layer", *GIVEN},
    "maps": {"layer", "units", *GIVEN},
    "chains": {"sweeps", "seed", *GIVEN},
    "confusion": GIVEN - {"split", "count"},
}
"""What each method of `visualize` and each figure of `plot` uses of the options that not all of them use."""
PIXELS = "in the pixels of pictures"
FEW = 8
"""Units, and pictures, that are shown where none are named and there is no room for all."""
CASES = 100
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
    _check("method", method, METHODS)
    refuse_ignored(visualize, locals(), _others(METHODS, method), f"method={method!r}")
    check_counts(count=count)
    if "data" in METHODS[method]:
        _need(data, f"method={method!r}")
    model = load(checkpoint, device=device)
    images = None if data is None else pictures_for(model, data, data_root, download, split)
    from convdbn.visual import figures

    layers = list(range(1, len(model.layers) + 1)) if layer is None else [layer]
    if method in ("path", "reconstruction"):
        assert images is not None
        rows, labels = _rows(model, method, layers, units, _batch(model, images, count), seed)
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


def plot(
    *,
    checkpoint: str | Path,
    figure: Plot,
    output: str | Path,
    layer: int | None = None,
    units: list[int] | None = None,
    data: str | Path | None = None,
    split: Literal["train", "test"] = "train",
    count: int | None = None,
    sweeps: int = 1000,
    data_root: str | Path | None = None,
    download: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> Path:
    """Plot how a model learned, what its weights are like, how it responds to pictures, dreams of them, or errs.

    Args:
        checkpoint: run folder, model file, or the name of a model of the package; for confusion the classifier's.
        figure: curves, weights, updates, activities, cases, maps, chains or confusion.
        output: picture to write, .png, .pdf or .svg.
        layer: one layer alone, 1 being the lowest; all of them otherwise, and for maps the highest that has some.
        units: units whose maps are shown, such as [0, 5]; the 8 most active otherwise.
        data: pictures for updates, activities, cases, maps and confusion, as for `train`; for chains those to begin
            at, instead of noise.
        split: train or test, for data sets that have one; confusion takes the test pictures.
        count: pictures, the first ones, or chains; 8 for maps and chains, and 100 otherwise.
        sweeps: Gibbs sweeps of chains; they are shown after 0, 1, 10, 100, ... and so many.
        data_root: where the torchvision data sets lie.
        download: fetch a torchvision data set that is not there.
        seed: seed of chains.
        device: auto, cpu, cuda, ...

    The curves are those of the run folder's metrics. Updates are what an update adds to the weights where training
    goes on with the pictures, at the recipe's first rate. Activities are probabilities of the pooling units, as a
    histogram; cases has a row for each picture and a column for each unit, of maps the strongest response. Chains are
    those of the top layers, with one pass down for each picture, as `sample` draws them but without its cooling.
    """
    check_output(output, *FIGURE)
    _check("figure", figure, FIGURES)
    refuse_ignored(plot, locals(), _others(FIGURES, figure), f"figure={figure!r}")
    count = (FEW if figure in ("maps", "chains") else CASES) if count is None else count
    check_counts(count=count, sweeps=sweeps)
    if figure == "chains" and data is None:
        refuse_ignored(plot, locals(), GIVEN - {"count"}, "data=None")
    elif "data" in FIGURES[figure]:
        _need(data, f"figure={figure!r}")
    from convdbn.visual import figures

    if figure == "curves":
        return figures.save(_curves(Path(checkpoint), layer), output)
    if figure == "confusion":
        assert data is not None
        return figures.save(_confusion(checkpoint, data, data_root, download, device), output)
    model = load(checkpoint, device=device)
    images = None if data is None else pictures_for(model, data, data_root, download, split)
    if images is not None:
        images = images.select(range(min(count, len(images))))
    if figure == "chains":
        return figures.save(_chains(model, images, count, sweeps, seed), output)
    if figure == "maps":
        assert images is not None
        return figures.save(_maps(model, layer, units, images), output)
    return figures.save(_spread(checkpoint, model, figure, layer, images), output)


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


def _curves(folder: Path, layer: int | None) -> "Figure":
    from convdbn.learning.greedy import METRICS_FILE
    from convdbn.models import stack
    from convdbn.storage import metrics
    from convdbn.visual import plots

    model = stack.model_file(folder)
    if not model.is_file():
        raise CheckpointError(f"checkpoint={str(folder)!r}: no such run; give the folder of one of `convdbn train`")
    file = model.with_name(METRICS_FILE)
    if model.parent == stack.WEIGHTS or not file.is_file():
        raise UsageError(f"checkpoint={str(folder)!r}: no {METRICS_FILE} there; give a run folder of `convdbn train`")
    rows = [row for row in metrics.read(file) if layer in (None, row["layer"])]
    if not rows:
        found = "no rows" if layer is None else f"no rows of layer={layer}"
        raise UsageError(f"checkpoint={str(folder)!r}: {found} in {METRICS_FILE}")
    return plots.curves(rows)


def _spread(
    checkpoint: str | Path, model: "Stack", figure: str, layer: int | None, images: "Images | None"
) -> "Figure":
    """Histograms, or activities case by case, of one layer or of all."""
    from convdbn.models import stack
    from convdbn.recipes import Recipe
    from convdbn.visual import plots, projections, statistics

    layers = list(range(1, len(model.layers) + 1)) if layer is None else [layer]
    titles = [f"layer {number}: {len(projections.chosen(model, number, None))} units" for number in layers]
    if figure == "weights":
        values = statistics.weights(model)
        return plots.histograms([values[number - 1] for number in layers], titles, "weight")
    assert images is not None
    if figure == "updates":
        recipe = Recipe.from_dict(stack.load_trained(checkpoint)[1]["recipe"])
        values = statistics.updates(model, recipe, images)
        return plots.histograms([values[number - 1] for number in layers], titles, "update of a weight")
    if figure == "activities":
        values = [statistics.probabilities(model, number, images=images) for number in layers]
        return plots.histograms(values, titles, "activity of a pooling unit")
    return plots.activity([statistics.activities(model, number, images=images) for number in layers], titles)


def _maps(model: "Stack", layer: int | None, units: list[int] | None, images: "Images") -> "Figure":
    from convdbn.visual import figures, projections, statistics

    if layer is None:
        layer = max((n for n, shape in enumerate(model.geometry, 1) if shape.kernel != (0, 0)), default=1)
    projections.chosen(model, layer, units)
    batch = _batch(model, images, len(images))
    shown = statistics.most_active(model, layer, FEW, images=batch) if units is None else units
    pictures, maps = statistics.maps_over(model, layer, shown, images=batch)
    return figures.overlays(pictures, maps, [f"unit {unit}" for unit in shown], f"maps of layer {layer}")


def _chains(model: "Stack", images: "Images | None", count: int, sweeps: int, seed: int) -> "Figure":
    """A row for each chain, a column for each number of sweeps."""
    import torch

    from convdbn.models.generate import generate
    from convdbn.models.passes import visible
    from convdbn.visual import figures

    begin = None if images is None else visible(model, _batch(model, images, count), len(model.layers))
    at = [0, *(10**power for power in range(len(str(sweeps))) if 10**power < sweeps), sweeps]
    chains = count if begin is None else len(begin)
    drawn = generate(model, chains, burn_in=0, at=at, generator=seeded(model, seed), begin=begin)
    rows = torch.stack([pictures.cpu() for pictures in drawn], 1)
    labels = [f"chain {number}" for number in range(1, chains + 1)]
    title = f"fantasy chains from {'noise' if images is None else images.name}, after so many sweeps, {_space(model)}"
    return figures.labeled_rows(list(rows), labels, title, [f"{number:,}" for number in at])


def _confusion(
    checkpoint: str | Path, data: str | Path, data_root: str | Path | None, download: bool, device: str
) -> "Figure":
    from convdbn.further import load_classifier
    from convdbn.learning import finetune
    from convdbn.visual import plots

    network = load_classifier(checkpoint, device=device)
    _, images = labeled_data(network, data, data_root, download)
    if images.classes != network.classes:
        raise UsageError(
            f"data={str(data)!r}: has the classes {images.classes}, the classifier {network.classes}; take the data "
            "that it was trained on"
        )
    counts = finetune.confusion(network, images)
    wrong = int(counts.sum() - counts.trace())
    share = 100 * wrong / len(images)
    title = f"{images.name}: {wrong} of {len(images)} test pictures taken for another class, {share:.2f} %"
    return plots.confusion(counts, network.classes, title)


def _batch(model: "Stack", images: "Images", count: int) -> "Tensor":
    """The first pictures as one batch."""
    return model.transform.batch(images, range(min(count, len(images))))


def _title(model: "Stack", method: str) -> str:
    """The method, and in what space its results are."""
    return f"{NAMES[method]}, {PIXELS if method == 'patches' else _space(model)}"


def _space(model: "Stack") -> str:
    """What was done to the pictures that layer 1 sees."""
    steps = [step["kind"] for step in model.transform.spec()]
    return f"in the space of pictures after {', '.join(steps)}" if steps else PIXELS


def _check(name: str, value: Any, allowed: Collection[str]) -> None:
    if value not in allowed:
        raise UsageError(f"{name}={value!r}: choose from {', '.join(allowed)}")


def _others(uses: Mapping[str, set[str]], chosen: str) -> set[str]:
    """The options that are used, but not by this one."""
    return set().union(*uses.values()) - uses[chosen]


def _need(data: str | Path | None, what: str) -> None:
    if data is None:
        raise UsageError(f"data=None: {what} needs pictures; give a data set or a folder")
