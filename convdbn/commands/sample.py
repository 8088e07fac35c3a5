"""`sample`: what the model would draw."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from convdbn.commands.inputs import pictures_for
from convdbn.commands.load import load
from convdbn.commands.options import check_counts, check_output, refuse_ignored, seeded

if TYPE_CHECKING:
    pass


def sample(
    *,
    checkpoint: str | Path,
    output: str | Path,
    count: int | None = None,
    label: int | Literal["all"] | None = None,
    sweeps: int = 200,
    frames: int = 30,
    data: str | Path | None = None,
    data_root: str | Path | None = None,
    download: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> Path:
    """Draw what the model would draw: a grid of samples, or a GIF of the generator running; the written file.

    Gibbs sampling in the top layers, then one pass down. Pictures are those that layer 1 sees, after the transform.

    Args:
        checkpoint: run folder, model file, or the name of a model of the package.
        output: picture to write; a .gif shows all frames, a .png the last.
        count: chains, each of which is one picture of the grid, 64 by default; with label all, 10 for each class.
        label: class to draw, 0 being the first, for models with label units, which stay at it; all draws a row of
            the grid for every class.
        sweeps: Gibbs sweeps from one frame of a GIF to the next; before the first, and for a grid, as many times 10.
        frames: frames of a GIF.
        data: pictures to begin at, as for `train`; otherwise chains begin at noise and are cooled.
        data_root: where the torchvision data sets lie.
        download: fetch a torchvision data set that is not there.
        seed: seed of the chains.
        device: auto, cpu, cuda, ...
    """
    moving = Path(output).suffix.lower() == ".gif"
    check_output(output, ".png", ".gif")
    refuse_ignored(sample, locals(), () if moving else ("frames",), f"output={str(output)!r}")
    refuse_ignored(sample, locals(), ("data_root", "download") if data is None else (), "data=None")
    if count is None:
        count = 10 if label == "all" else 64
    check_counts(count=count, sweeps=sweeps, frames=frames)
    model = load(checkpoint, device=device)
    from convdbn.models.generate import generate, one_hot
    from convdbn.models.passes import visible
    from convdbn.visual import figures

    labels = None if label is None else one_hot(model, label, count)
    chains, begin = count if labels is None else len(labels), None
    if data is not None:
        images = pictures_for(model, data, data_root, download)
        pictures = model.transform.batch(images, [index % len(images) for index in range(chains)])
        begin = visible(model, pictures, len(model.layers))
    drawn = generate(
        model,
        chains,
        burn_in=10 * sweeps,
        at=range(0, sweeps * (frames if moving else 1), sweeps),
        generator=seeded(model, seed),
        begin=begin,
        labels=labels,
    )
    columns = count if label == "all" else None
    return figures.save_frames([figures.sheet(pictures.cpu(), columns=columns) for pictures in drawn], output)
