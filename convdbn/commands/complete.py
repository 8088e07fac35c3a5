"""`complete`: one half of a picture from the other."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from convdbn.commands.inputs import parted_data
from convdbn.commands.load import load
from convdbn.commands.options import FIGURE, check_counts, check_output, seeded

if TYPE_CHECKING:
    pass


SHOWN = 16


def complete(
    *,
    checkpoint: str | Path,
    data: str | Path,
    output: str | Path,
    cover: Literal["left", "right", "top", "bottom"] = "left",
    count: int = 100,
    sweeps: int = 300,
    data_root: str | Path | None = None,
    download: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Cover one half of test pictures and infer it from the other through all layers; a picture of some of them.

    Its rows are the pictures, what the model saw, and what it made of it: expectations given the half that was seen.
    The squared errors of a covered pixel are beside those of the mean training picture, and of the training picture
    that is nearest in what was seen.

    Args:
        checkpoint: run folder, model file, or the name of a model of the package.
        data: as for `train`.
        output: picture to write, .png, .pdf or .svg.
        cover: left, right, top or bottom half.
        count: test pictures to complete, of which the first 16 are shown.
        sweeps: sweeps of Gibbs sampling in ten chains for each picture, the second half of which is averaged.
        data_root: where the torchvision data sets lie.
        download: fetch a torchvision data set that is not there.
        seed: seed of the chains.
        device: auto, cpu, cuda, ...
    """
    check_output(output, *FIGURE)
    check_counts(count=count, sweeps=sweeps)
    model = load(checkpoint, device=device)
    import torch

    from convdbn.evaluation.completion_error import completed
    from convdbn.visual import figures

    train, test = parted_data(model, data, data_root, download)
    chosen = test.select(range(min(count, len(test))))
    found = completed(model, train, chosen, cover, sweeps=sweeps, generator=seeded(model, seed))
    blank = torch.where(found.kept, found.pictures, found.pictures.mean())
    rows = [x[:SHOWN].cpu() for x in (found.pictures, blank, found.completed)]
    written = figures.save(figures.labeled_rows(rows, ["picture", "seen", "completed"]), output)
    return {
        "output": str(written),
        "pictures": len(chosen),
        "squared_error": found.error,
        "squared_error_of_mean": found.mean_error,
        "squared_error_of_nearest": found.nearest_error,
    }
