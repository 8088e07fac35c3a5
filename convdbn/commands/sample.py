"""`sample`: what the model would draw."""

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
    """Draw from the model: a grid of samples, or a GIF of the generator running; the path of the written file.

    Gibbs sampling in the top layers, then one pass down. Pictures are those that layer 1 sees, after the transform.

    Args:
        data: pictures to begin at, as for `train`; without them chains begin at noise and are cooled.
        output: picture to write; a .gif shows all frames, a .png the last.
        count: chains, each of which is one picture of the grid, 64 by default; with label all, 10 for each class.
        label: class to draw, 0 being the first, for models with label units, which stay at it; all draws a row of
            the grid for every class.
        sweeps: Gibbs sweeps from one frame of a GIF to the next; before the first, and for a grid, ten times as many.
        frames: frames of a GIF.
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
    drawn = generate(
        stack,
        chains,
        burn_in=10 * sweeps,
        at=range(0, sweeps * (frames if moving else 1), sweeps),
        generator=seeded(stack, seed),
        begin=begin,
        labels=labels,
    )
    columns = count if label == "all" else None
    return figures.save_frames([figures.sheet(pictures.cpu(), columns=columns) for pictures in drawn], output)
