"""`sample`: pictures drawn from the model."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from convdbn.commands.inputs import Source, model_from
from convdbn.commands.options import (
    ValueRange,
    check_counts,
    check_output,
    command,
    refuse_ignored,
)

if TYPE_CHECKING:
    from convdbn.commands.inputs import Data, Model


@command
def sample(
    model: "Model",
    data: "Data | None" = None,
    *,
    output: str | Path,
    count: int | None = None,
    label: int | Literal["all"] | None = None,
    sweeps: int = 200,
    frames: int = 30,
    value_range: ValueRange = None,
    data_root: str | Path | None = None,
    download: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> Path:
    """Draw samples from the model as a grid, or as a GIF of the chains over time; returns the path of the file.

    Gibbs sampling in the top layers, then one pass down. The pictures are the input of layer 1, after the transform.

    Args:
        data: pictures to begin at, as for `train`; without them chains begin at noise and are cooled.
        output: picture to write; a .gif has all frames, a .png the last.
        count: number of chains, one for each picture of the grid; by default 64, or with label all 10 for each class.
        label: class to draw, 0 being the first, for models with label units, which are clamped to it; all draws a row
            of the grid for every class.
        sweeps: Gibbs sweeps between two frames of a GIF; ten times as many before the first frame, and for a grid.
        frames: number of frames of a GIF.
    """
    moving = Path(output).suffix.lower() == ".gif"
    check_output(output, ".png", ".gif")
    refuse_ignored(sample, locals(), () if moving else ("frames",), f"output={str(output)!r}")
    refuse_ignored(
        sample, locals(), () if data is not None else ("value_range", "data_root", "download"), "data=None"
    )
    if count is None:
        count = 10 if label == "all" else 64
    check_counts(count=count, sweeps=sweeps, frames=frames)
    stack = model_from(model, device)
    from convdbn.models.generate import generate, one_hot, seeded
    from convdbn.models.passes import visible
    from convdbn.visual import figures

    labels = None if label is None else one_hot(stack, label, count)
    chains, begin = count if labels is None else len(labels), None
    if data is not None:
        source = Source(data, value_range=value_range, data_root=data_root, download=download)
        images = source.images(stack.channels)
        pictures = stack.transform.batch(images, [index % len(images) for index in range(chains)])
        begin = visible(stack, pictures, len(stack.layers))
    samples = generate(
        stack,
        chains,
        burn_in=10 * sweeps,
        at=range(0, sweeps * (frames if moving else 1), sweeps),
        generator=seeded(stack, seed),
        begin=begin,
        labels=labels,
    )
    columns = count if label == "all" else None
    return figures.save_frames([figures.sheet(pictures.cpu(), columns=columns) for pictures in samples], output)
