"""`finetune`: the layers trained further as a classifier."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convdbn.commands.inputs import labeled_data
from convdbn.commands.load import load
from convdbn.commands.options import as_tuple, checked_device, saved_run, stop_on_signal

if TYPE_CHECKING:
    from torch import Tensor

    from convdbn.images import Images
    from convdbn.learning.finetune import FineTuning
    from convdbn.models.classifier import Classifier
    from convdbn.models.stack import Stack


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
    from convdbn.images.splits import labeled

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
