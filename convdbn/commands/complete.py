"""`complete`: one half of a picture from the other."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from convdbn.commands.inputs import Source, model_from
from convdbn.commands.options import (
    FIGURE_FORMATS,
    ValueRange,
    check_counts,
    check_output,
    command,
)

if TYPE_CHECKING:
    from convdbn.commands.inputs import Data, Model


PICTURES = 16
"""Number of pictures in the figure."""


@command
def complete(
    model: "Model",
    data: "Data",
    *,
    output: str | Path | None = None,
    cover: Literal["left", "right", "top", "bottom"] = "left",
    count: int = 100,
    sweeps: int = 300,
    value_range: ValueRange = None,
    data_root: str | Path | None = None,
    download: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Cover one half of test pictures, infer it from the other half through all layers, and measure the error.

    Squared errors are means over the covered pixels: of the model, of the mean training picture, and of the training
    picture that is nearest in the other half. The rows of the figure are the pictures, their visible halves, and the
    completed pictures.

    Args:
        output: picture to write, .png, .pdf or .svg.
        cover: left, right, top or bottom half.
        count: test pictures to complete; the figure has the first 16.
        sweeps: sweeps of Gibbs sampling in ten chains for each picture; the result averages over the second half.
    """
    check_output(output, *FIGURE_FORMATS)
    check_counts(count=count, sweeps=sweeps)
    stack = model_from(model, device)
    import torch

    from convdbn.evaluation.completion import completed
    from convdbn.models.generate import seeded
    from convdbn.visual import figures

    source = Source(data, value_range=value_range, data_root=data_root, download=download)
    train, test = source.parted(stack.channels)
    test = test.select(range(min(count, len(test))))
    result = completed(stack, train, test, cover, sweeps=sweeps, generator=seeded(stack, seed))
    errors = {
        "pictures": len(test),
        "squared_error": result.error,
        "squared_error_of_mean": result.mean_error,
        "squared_error_of_nearest": result.nearest_error,
    }
    if output is None:
        return errors
    half = torch.where(result.kept, result.pictures, result.pictures.mean())
    rows = [x[:PICTURES].cpu() for x in (result.pictures, half, result.completed)]
    file = figures.save(figures.labeled_rows(rows, ["picture", "seen", "completed"]), output)
    return {"output": str(file), **errors}
