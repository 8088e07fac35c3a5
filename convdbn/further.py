"""The verbs that go on from a trained model: fine-tuning, refining all layers together, and completing pictures."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from convdbn.api import load
from convdbn.runs import (
    FIGURE,
    as_tuple,
    check_counts,
    check_output,
    checked_device,
    labeled_data,
    parted_data,
    refuse_ignored,
    saved_run,
    seeded,
    stop_on_signal,
)

if TYPE_CHECKING:
    from torch import Tensor

    from convdbn.images import Images
    from convdbn.learning.finetune import FineTuning
    from convdbn.models.classifier import Classifier
    from convdbn.models.stack import Stack

SHOWN = 16


def finetune(
    *,
    checkpoint: str | Path,
    data: str | Path,
    output_dir: str | Path | None = None,
    labels: int | None = None,
    layers: int | list[int] | None = None,
    grid: int | list[int] = 5,
    dropout: float = 0.5,
    epochs: int = 60,
    batch: int = 50,
    rate: float = 1e-3,
    distort: float = 1.0,
    sample_input: bool = False,
    mirror: bool = False,
    adversarial: float = 0.0,
    weight_decay: float = 1e-4,
    held_out: float = 0.1,
    baseline: bool = False,
    overwrite: bool = False,
    resume: bool = False,
    data_root: str | Path | None = None,
    download: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Train the layers further, with labels, as a classifier; its error on the test pictures.

    Of a folder with a sub-folder for each class a fifth of every class is the test set. `load_classifier` gives the
    network in `output_dir`, an ordinary torch module.

    Args:
        checkpoint: run folder, model file, or the name of a model of the package.
        data: as for `train`, with labels.
        output_dir: folder for the classifier; None writes nothing.
        labels: number of labeled pictures to train on, equally many of each class; all of them otherwise.
        layers: layers that the classifier sees, 1 being the lowest; the highest otherwise.
        grid: each map is averaged over this many cells along each side; a list makes a pyramid.
        dropout: share of the averages, and of the units of fully connected layers, that each update leaves out.
        epochs: passes over the labeled pictures.
        batch: pictures in an update.
        rate: highest learning rate of the layers.
        distort: strength of random shifts, turns, stretches and smooth distortions of the pictures; 0 for none.
        sample_input: draw bits from the input of the lowest layer, anew in every update.
        mirror: mirror pictures at random; not for letters and digits.
        adversarial: how far a second presentation of each batch moves every value of the input, as raises the loss.
        weight_decay: share of the weights, times the rate, that every update takes off.
        held_out: share of the labeled pictures that chooses the best epoch; 0 trains on all to the end.
        baseline: train the same network from random filters as well, for comparison; written beside the other.
        overwrite: replace a classifier that the folder holds already.
        resume: go on with the training in the folder; the other options must be the same.
        data_root: where the torchvision data sets lie.
        download: fetch a torchvision data set that is not there.
        seed: seed of everything random.
        device: auto, cpu, cuda, ...
    """
    from convdbn.evaluation.baselines import with_random_filters
    from convdbn.learning import finetune as tuning
    from convdbn.models import classifier
    from convdbn.models.pyramid import SpatialPyramid

    settings = tuning.FineTuning(
        epochs, batch, rate, dropout, distort, sample_input, mirror, adversarial, weight_decay, held_out, seed
    )
    origin = {"checkpoint": str(checkpoint), "data": str(data), "labels": labels, "layers": layers, "grid": grid}
    options = {**vars(settings), **origin}
    folder = None if output_dir is None else Path(output_dir)
    main, other = (folder and folder / name for name in (classifier.CLASSIFIER_FILE, classifier.BASELINE_FILE))
    known = vars(tuning.FineTuning())  # settings that came later have their defaults
    goes_on = partial(saved_run, chosen=options, before=lambda run: {**known, **run.get("finetuned", {})})
    saved = goes_on(main, overwrite=overwrite, resume=resume)
    model = load(checkpoint, device=device)
    train, test = _labeled(model, data, data_root, download, labels, seed)
    pooling = SpatialPyramid(as_tuple(len(model.layers) if layers is None else layers), as_tuple(grid))

    def network(stack: "Stack") -> "Classifier":
        return classifier.Classifier.from_stack(stack, train.classes, pooling)

    with stop_on_signal() as stop:
        trained = partial(
            _trained, images=train, settings=settings, options=options, stop=stop, device=checked_device(device)
        )
        tuned = trained(main, saved, lambda: network(model), stale=other)
        result: dict[str, Any] = {"labels": len(train), "error": tuning.error(tuned, test)}
        if baseline:
            again = saved and goes_on(other, overwrite=False, resume=True)
            tuned = trained(other, again, lambda: network(with_random_filters(model, seed=seed)))
            result["error_from_random_weights"] = tuning.error(tuned, test)
    if main is not None:
        result["output"] = str(main)
    return result


def _labeled(
    model: "Stack", data: str | Path, data_root: str | Path | None, download: bool, labels: int | None, seed: int
) -> tuple["Images", "Images"]:
    """Training pictures, so many of which are labeled and taken where that is said, and test pictures."""
    from convdbn.images.labeled import labeled

    train, test = labeled_data(model, data, data_root, download)
    if labels is not None and train.labels is not None:
        train = train.select(labeled(train.labels.numpy(), labels, seed=seed).tolist())
    return train, test


def _trained(
    file: Path | None,
    saved: bool,
    begin: Callable[[], "Classifier"],
    *,
    images: "Images",
    settings: "FineTuning",
    options: Mapping[str, Any],
    stop: Callable[[], bool],
    device: str,
    stale: Path | None = None,
) -> "Classifier":
    """A network trained to the end, from its beginning, or where one is `saved` from where the file has it.

    A file `stale` is removed as soon as this one is written: a baseline is trained after its network, so that beside
    a network in training it is that of an earlier one.
    """
    from convdbn.learning import finetune as tuning
    from convdbn.models import classifier
    from convdbn.storage.resumable import Checkpointing

    trainer: Mapping[str, Tensor] = {}
    if file is not None and saved:
        network, _, trainer = classifier.load_run(file)
        network.to(device)
        if not trainer:
            return network
    else:
        network = begin()

    def save(state: Mapping[str, "Tensor"]) -> None:
        assert file is not None
        classifier.save(file, network, {"finetuned": options}, state)
        if stale is not None:
            stale.unlink(missing_ok=True)

    tuning.finetune(network, images, settings, Checkpointing(None if file is None else save, stop, trainer))
    if file is not None:
        save({})
    return network


def load_classifier(path: str | Path, *, device: str = "auto") -> "Classifier":
    """The classifier in a folder or file that `finetune` wrote: pictures in, logits of `classes` out."""
    from convdbn.models import classifier

    return classifier.load(path).to(checked_device(device))


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
