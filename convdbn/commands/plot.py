"""`plot`: how a model learned, responds and errs."""

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
    units: list[int] | None = None,
    count: int | None = None,
    sweeps: int = 1000,
    split: Split = "train",
    value_range: ValueRange = None,
    data_root: str | Path | None = None,
    download: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> "Figure":
    """Plot how a model learned, what its weights are like, and how it responds: a figure, written too to `output`.

    Args:
        data: pictures for updates, activities, cases, maps and confusion, as for `train`; for chains those to begin
            at, instead of noise. Confusion takes the test pictures.
        figure: curves, weights, updates, activities, cases, maps, chains, or confusion, which takes a classifier.
        output: picture to write, .png, .pdf or .svg.
        layer: one layer alone, 1 being the lowest; all of them otherwise, and for maps the highest that has some.
        units: units whose maps are shown, such as [0, 5]; the 8 most active otherwise.
        count: pictures, the first ones, or chains; 8 for maps and chains, and 100 otherwise.
        sweeps: Gibbs sweeps of chains; they are shown after 0, 1, 10, 100, ... and this many.

    The curves are those of the run's metrics. Updates are what an update adds to the weights where training goes on
    with the pictures, at the recipe's first rate. Activities are probabilities of the pooling units, as a histogram;
    cases has a row for each picture and a column for each unit, of maps the strongest response. Chains are those of
    the top layers, with one pass down for each picture, as `sample` draws them but without its cooling.
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
    drawn: Figure = draw(subject, **options)
    if output is not None:
        figures.save(drawn, output)
    return drawn
