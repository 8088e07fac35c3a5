"""`plot`: how a model learned, responds and errs."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from convdbn.commands.inputs import first_batch, labeled_data, pictures_for, space
from convdbn.commands.load import load, load_classifier
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
from convdbn.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from convdbn.images import Images
    from convdbn.models.stack import Stack


Plot = Literal["curves", "weights", "updates", "activities", "cases", "maps", "chains", "confusion"]
FIGURES: dict[str, set[str]] = {
    "curves": {"layer"},
    "weights": {"layer"},
    "updates": {"layer", *PICTURES},
    "activities": {"layer", *PICTURES},
    "cases": {"layer", *PICTURES},
    "maps": {"layer", "units", *PICTURES},
    "chains": {"sweeps", "seed", *PICTURES},
    "confusion": PICTURES - {"split", "count"},
}
"""What each method of `visualize` and each figure of `plot` uses of the options that not all of them use."""
CASES = 100


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
    check_choice("figure", figure, FIGURES)
    refuse_ignored(plot, locals(), others(FIGURES, figure), f"figure={figure!r}")
    count = (FEW if figure in ("maps", "chains") else CASES) if count is None else count
    check_counts(count=count, sweeps=sweeps)
    if figure == "chains" and data is None:
        refuse_ignored(plot, locals(), PICTURES - {"count"}, "data=None")
    elif "data" in FIGURES[figure]:
        require_data(data, f"figure={figure!r}")
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
        layer = max((n for n, shape in enumerate(model.geometry, 1) if not shape.dense), default=1)
    projections.chosen(model, layer, units)
    batch = first_batch(model, images, len(images))
    shown = statistics.most_active(model, layer, FEW, images=batch) if units is None else units
    pictures, maps = statistics.maps_over(model, layer, shown, images=batch)
    return figures.overlays(pictures, maps, [f"unit {unit}" for unit in shown], f"maps of layer {layer}")


def _chains(model: "Stack", images: "Images | None", count: int, sweeps: int, seed: int) -> "Figure":
    """A row for each chain, a column for each number of sweeps."""
    import torch

    from convdbn.models.generate import generate
    from convdbn.models.passes import visible
    from convdbn.visual import figures

    begin = None if images is None else visible(model, first_batch(model, images, count), len(model.layers))
    at = [0, *(10**power for power in range(len(str(sweeps))) if 10**power < sweeps), sweeps]
    chains = count if begin is None else len(begin)
    drawn = generate(model, chains, burn_in=0, at=at, generator=seeded(model, seed), begin=begin)
    rows = torch.stack([pictures.cpu() for pictures in drawn], 1)
    labels = [f"chain {number}" for number in range(1, chains + 1)]
    title = f"fantasy chains from {'noise' if images is None else images.name}, after so many sweeps, {space(model)}"
    return figures.labeled_rows(list(rows), labels, title, [f"{number:,}" for number in at])


def _confusion(
    checkpoint: str | Path, data: str | Path, data_root: str | Path | None, download: bool, device: str
) -> "Figure":
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
