"""`visualize`: the units of the layers in the space of pictures."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from convdbn.commands.inputs import Source, model_from
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


Method = Literal["linear", "top-down", "samples", "maximize", "patches", "path", "reconstruction"]


@command
def visualize(
    model: "Model",
    data: "Data | None" = None,
    *,
    method: Method = "linear",
    output: str | Path | None = None,
    layer: int | None = None,
    units: int | list[int] | None = None,
    side_by_side: bool = False,
    count: int | None = None,
    split: Split = "train",
    value_range: ValueRange = None,
    data_root: str | Path | None = None,
    download: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> "Figure":
    """Draw the units of the layers in the space of pictures; the figure is also written to `output` if that is set.

    The pictures are the input of layer 1, after the transform; patches are cut from the pictures themselves.

    Args:
        data: pictures for patches, path and reconstruction, as for `train`.
        method: linear, top-down, samples or maximize; with data also patches, path or reconstruction.
        output: picture to write, .png, .pdf or .svg.
        layer: a single layer, 1 being the lowest; by default all layers.
        units: unit to draw, or several, such as [0, 5]; by default all units, and for path the 8 most active.
        side_by_side: place the layers beside one another instead of below.
        count: number of best patches for each unit, or of pictures for path and reconstruction; by default 9.
        seed: seed of samples, maximize, and reconstruction in deep Boltzmann machines.
    """
    check_output(output, *FIGURE_FORMATS)
    check_choice("method", method, Method)
    check_counts(count=count)
    from convdbn.visual import figures, unit_figures

    draw = getattr(unit_figures, method.replace("-", "_"))
    options = figure_options(visualize, locals(), draw, f"{method=}")
    stack = model_from(model, device)
    if data is not None:
        source = Source(data, value_range=value_range, data_root=data_root, download=download)
        options["images"] = source.images(stack.channels, split)
    figure: Figure = draw(stack, **options)
    if output is not None:
        figures.save(figure, output)
    return figure
