"""`visualize`: what the units of the layers mean in the space of pictures."""

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
    units: list[int] | None = None,
    side_by_side: bool = False,
    count: int | None = None,
    split: Split = "train",
    value_range: ValueRange = None,
    data_root: str | Path | None = None,
    download: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> "Figure":
    """Draw what the units of the layers mean in the space of pictures: a figure, written too where `output` is given.

    Pictures are those that layer 1 sees, after the transform; patches are cut from the pictures themselves.

    Args:
        data: pictures for patches, path and reconstruction, as for `train`.
        method: linear, top-down, samples or maximize; patches, path or reconstruction of data's pictures.
        output: picture to write, .png, .pdf or .svg.
        layer: one layer alone, 1 being the lowest; all of them otherwise.
        units: units to show, such as [0, 5]; all of them otherwise, and for path the 8 most active.
        side_by_side: layers beside one another instead of below.
        count: patches of each unit, the best of all pictures, or pictures for path and reconstruction; 9 otherwise.
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
