"""`plot`: learning curves, weights, responses and errors of a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from convdbn.commands.inputs import Source, classifier_from, history_of, model_from, recipe_of
from convdbn.commands.options import (
    FIGURE_FORMATS,
    Split,
    ValueRange,
    check_choice,
    check_counts,
    check_output,
    command,
    figure_options,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from convdbn.commands.inputs import Data, Model
    from convdbn.models.classifier import Classifier


Plot = Literal["curves", "weights", "updates", "activities", "cases", "maps", "chains", "confusion"]


@command
def plot(
    model: "Model | Classifier",
    data: "Data | None" = None,
    *,
    figure: Plot,
    output: str | Path | None = None,
    layer: int | None = None,
    units: int | list[int] | None = None,
    count: int | None = None,
    sweeps: int = 1000,
    split: Split = "train",
    value_range: ValueRange = None,
    data_root: str | Path | None = None,
    download: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> "Figure":
    """Plot how a model learned, its weights, or its responses; the figure is also written to `output` if that is set.

    Args:
        data: pictures for updates, activities, cases, maps and confusion, as for `train`; for chains, pictures to
            begin at instead of noise. Confusion takes the test pictures.
        figure: curves, weights, updates, activities, cases, maps, chains, or confusion, which takes a classifier.
        output: picture to write, .png, .pdf or .svg.
        layer: a single layer, 1 being the lowest; by default all layers, and for maps the highest convolutional one.
        units: unit whose maps to draw, or several, such as [0, 5]; by default the 8 most active.
        count: number of pictures, from the first, or of chains; by default 8 for maps and chains, otherwise 100.
        sweeps: Gibbs sweeps of chains, which are drawn after 0, 1, 10, 100, ... and this many sweeps.

    The curves are those of the run's metrics. Updates are the changes of the weights in one further update with the
    pictures, at the recipe's first rate. Activities are a histogram of the probabilities of the pooling units. Cases
    has a row for each picture and a column for each unit, with the strongest response of each map. Chains sample the
    top layers, with one pass down for each picture, as `sample` does but without cooling.
    """
    check_output(output, *FIGURE_FORMATS)
    check_choice("figure", figure, Plot)
    check_counts(count=count, sweeps=sweeps)
    from convdbn.visual import figures, model_figures

    draw = getattr(model_figures, figure)
    options = figure_options(plot, locals(), draw, f"{figure=}")
    subject: Any
    if figure == "curves":
        subject = history_of(model)
    elif figure == "confusion":
        subject = classifier_from(model, device)
    else:
        subject = model_from(model, device)
    if figure == "updates":
        options["recipe"] = recipe_of(model)
    if data is not None:
        source = Source(data, value_range=value_range, data_root=data_root, download=download)
        if figure == "confusion":
            options["test"] = source.labeled(subject.channels)[1]
        else:
            options["images"] = source.images(subject.channels, split)
    result: Figure = draw(subject, **options)
    if output is not None:
        figures.save(result, output)
    return result
