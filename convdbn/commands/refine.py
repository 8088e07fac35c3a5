"""`refine`: all layers of a stack trained together."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from convdbn.commands.inputs import labeled_data, parted_data
from convdbn.commands.options import checked_device, refuse_ignored, saved_run, stop_on_signal

if TYPE_CHECKING:
    from convdbn.models.stack import Stack


def refine(
    *,
    checkpoint: str | Path,
    data: str | Path,
    method: Literal["autoencoder", "up-down"],
    output_dir: str | Path | None = None,
    epochs: int = 30,
    batch: int = 100,
    rate: float = 1e-3,
    distort: float = 0.0,
    k: int = 3,
    k_end: int = 10,
    overwrite: bool = False,
    resume: bool = False,
    data_root: str | Path | None = None,
    download: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> "Stack":
    """Train all layers of a fully connected stack together, upward and downward weights parting; the refined stack.

    As an autoencoder the layers learn to give the picture back from the highest one (Hinton and Salakhutdinov 2006);
    up-down learning makes a better generator (Hinton, Osindero and Teh 2006), with label units where the top machine
    has them. What is written is a run like that of `train`.

    Args:
        checkpoint: run folder, model file, or the name of a model of the package.
        data: as for `train`.
        method: autoencoder or up-down.
        output_dir: folder for the refined model; None writes nothing.
        epochs: passes over the training pictures.
        batch: pictures in an update.
        rate: highest learning rate; it rises over the first tenth of the updates and falls to nothing.
        distort: strength of random shifts, turns, stretches and smooth distortions of an autoencoder's pictures.
        k: Gibbs sweeps of the top machine in up-down learning, at the start.
        k_end: ... and at the end.
        overwrite: replace a model that the folder holds already.
        resume: go on with the run in the folder; the other options must be the same.
        data_root: where the torchvision data sets lie.
        download: fetch a torchvision data set that is not there.
        seed: seed of everything random.
        device: auto, cpu, cuda, ...
    """
    unused = {"autoencoder": ("k", "k_end"), "up-down": ("distort",)}
    refuse_ignored(refine, locals(), unused.get(method, ()), f"method={method!r}")
    from convdbn.learning import refine as refining
    from convdbn.models import stack
    from convdbn.storage.resumable import Checkpointing

    file = None if output_dir is None else Path(output_dir, stack.MODEL_FILE)
    settings = refining.Refinement(method, epochs, batch, rate, distort, k, k_end, seed)
    options = {**vars(settings), "checkpoint": str(checkpoint), "data": str(data)}
    saved = saved_run(file, options, lambda run: run.get("refined", {}), overwrite=overwrite, resume=resume)
    model, metadata, trainer = stack.load_run(file if file is not None and saved else checkpoint)
    model.to(checked_device(device))
    if saved and not trainer:
        return model
    labeled = model.machines[-1].units[-1].kind == "categorical"
    train, _ = (labeled_data if labeled else parted_data)(model, data, data_root, download)
    save = None if file is None else partial(stack.save, file, model, {**metadata, "refined": options})
    with stop_on_signal() as stop:
        refined = refining.refine_on(model, train, settings, Checkpointing(save, stop, trainer if saved else {}))
    if save is not None:
        save({})
    return refined
