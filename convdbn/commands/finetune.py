"""`finetune`: supervised training of the layers as a classifier."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convdbn.commands.inputs import Source, model_from, model_name, present_options
from convdbn.commands.options import (
    ValueRange,
    as_tuple,
    checked_device,
    command,
    saved_run,
    stop_on_signal,
)
from convdbn.recipes import checked
from convdbn.recipes.tuning import FineTuning

if TYPE_CHECKING:
    from torch import Tensor

    from convdbn.commands.inputs import Data, Model
    from convdbn.images import Images
    from convdbn.models.classifier import Classifier

BASELINE_FILE = "baseline.safetensors"
"""File of the same network, trained from random weights."""


@command
def finetune(
    model: "Model",
    data: "Data",
    *,
    labels: int | None = None,
    layers: int | list[int] | None = None,
    grid: int | list[int] = 5,
    baseline: bool = False,
    output_dir: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    value_range: ValueRange = None,
    data_root: str | Path | None = None,
    download: bool = False,
    seed: int = 0,
    device: str = "auto",
    **settings: Any,
) -> dict[str, Any]:
    """Train the layers further, with labels, as a classifier, and measure its error on the test pictures.

    Data without test pictures of its own gives a fifth of every class for the test. `load_classifier` loads the
    network from `output_dir`; it is an ordinary torch module.

    Args:
        labels: number of labeled pictures to train on, equally many of each class; all of them by default.
        layers: layers that the classifier sees, 1 being the lowest; the highest by default.
        grid: each map is averaged over this many cells along each side; a list makes a pyramid.
        baseline: also train the same network from random filters, for comparison; its file is in the same folder.
        settings: any field of `FineTuning`, such as epochs=20.
    """
    tuning = checked(FineTuning, {**settings, "seed": seed})
    from convdbn.evaluation.baselines import with_random_filters
    from convdbn.images import labeled
    from convdbn.learning.finetune import error
    from convdbn.models.classifier import Classifier
    from convdbn.models.pyramid import SpatialPyramid
    from convdbn.storage.checkpoint import FILES

    source = Source(data, value_range=value_range, data_root=data_root, download=download)
    own = {"model": model_name(model), **source.record, "labels": labels, "layers": layers, "grid": grid}
    options = {**vars(tuning), **own}
    folder = None if output_dir is None else Path(output_dir)
    file, other = (folder and folder / name for name in (FILES["classifier"], BASELINE_FILE))
    saved_in = partial(saved_run, options=options, options_of=_options_of)
    saved = saved_in(file, overwrite=overwrite, resume=resume)
    stack = model_from(model, device)
    train, test = source.labeled(stack.channels)
    if labels is not None and train.labels is not None:
        train = train.select(labeled(train.labels.numpy(), labels, seed=seed).tolist())
    pooling = SpatialPyramid(
        as_tuple("layers", len(stack.layers) if layers is None else layers), as_tuple("grid", grid)
    )
    begin = partial(Classifier.from_stack, classes=train.classes, pooling=pooling)
    with stop_on_signal() as stop:
        train_network = partial(
            _train, images=train, settings=tuning, options=options, stop=stop, device=checked_device(device)
        )
        network = train_network(file, saved, lambda: begin(stack), stale=other)
        result: dict[str, Any] = {"labels": len(train), "error": error(network, test)}
        if baseline:
            again = saved and other is not None and other.exists() and saved_in(other, overwrite=False, resume=True)
            network = train_network(other, again, lambda: begin(with_random_filters(stack, seed=seed)))
            result["error_from_random_weights"] = error(network, test)
    return result | ({} if file is None else {"output": str(file)})


def _options_of(run: dict[str, Any]) -> dict[str, Any]:
    """The options of a saved run; a setting that is newer than the run has its default."""
    return present_options({**vars(FineTuning()), **run.get("finetuned", {})})


def _train(
    file: Path | None,
    saved: bool,
    begin: Callable[[], "Classifier"],
    *,
    images: "Images",
    settings: FineTuning,
    options: Mapping[str, Any],
    stop: Callable[[], bool],
    device: str,
    stale: Path | None = None,
) -> "Classifier":
    """Train a network to the end: a new one from `begin`, or the one in the file if it is `saved`.

    The file `stale` is removed as soon as this one is written: a baseline is trained after its network, so a baseline
    beside a network in training belongs to an earlier network.
    """
    from convdbn.learning import finetune as learning
    from convdbn.models.files import open_model
    from convdbn.models.files import save as save_model
    from convdbn.storage.resumable import Checkpointing

    trainer: Mapping[str, Tensor] = {}
    if file is not None and saved:
        run = open_model(file, "classifier")
        network, trainer = run.model.to(device), run.trainer
        if not trainer:
            return network
    else:
        network = begin()

    def save(state: Mapping[str, "Tensor"]) -> None:
        assert file is not None
        save_model(file, network, {"finetuned": options}, state)
        if stale is not None:
            stale.unlink(missing_ok=True)

    learning.finetune(network, images, settings, Checkpointing(None if file is None else save, stop, trainer))
    if file is not None:
        save({})
    return network
