"""The verbs, from Python: each is also a command of the command line. torch is loaded when a verb runs."""

import contextlib
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from convdbn import recipes
from convdbn.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from convdbn.images import Images
    from convdbn.models.classifier import Classifier
    from convdbn.models.stack import Stack


def load(checkpoint: str | Path, *, device: str = "auto") -> "Stack":
    """The trained model in a run folder or checkpoint file; `model.features(images)` gives its maps.

    Raises `CheckpointError` for a file that is missing, truncated or not ours.
    """
    from convdbn.models import stack

    return stack.load(checkpoint).to(_device(device))


def train(
    *,
    recipe: str | Path = "images",
    data: str | Path = "photos",
    data_root: str | Path | None = None,
    download: bool = False,
    output_dir: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    device: str = "auto",
    **overrides: Any,
) -> "Stack":
    """Train a stack of layers greedily, without labels.

    Args:
        recipe: name of a recipe of the package, or a YAML file.
        data: `digits`, `photos`, `mnist`, `fashion-mnist`, `caltech101`, or a folder of pictures.
        data_root: where the torchvision data sets lie.
        download: fetch a torchvision data set that is not there.
        output_dir: run folder for the model and its metrics; None keeps the result in memory alone.
        overwrite: replace a run that the folder holds already.
        resume: go on with the run in the folder; the other options must be the same.
        device: auto, cpu, cuda, ...
        overrides: any field of the recipe, one value for all layers or a list with one for each.
    """
    chosen = recipes.load(recipe, **overrides)
    folder = None if output_dir is None else Path(output_dir)
    origin = {"data": str(data)}
    saved, device = _saved_run(folder, chosen, origin, overwrite=overwrite, resume=resume), _device(device)
    from convdbn.images import Images, open_images
    from convdbn.models.greedy import GreedyTraining, hold_out

    held: Images | None
    images = open_images(data, data_root=data_root, download=download, grey=not chosen.colour)
    if str(data) in TEST_SPLIT:
        test = open_images(data, split="test", data_root=data_root, grey=not chosen.colour)
        held = test.select(range(min(len(test), chosen.held_out))) if chosen.held_out else None
    else:
        images, held = hold_out(images, chosen.held_out, seed=chosen.seed)
    with stop_on_signal() as stop:
        run = GreedyTraining(chosen, images, held_out=held, folder=folder, data=origin, device=device, stop=stop)
        if saved and folder is not None:
            run.resume(folder)
        return run.run()


def features(
    *,
    checkpoint: str | Path,
    data: str | Path,
    layer: int = 1,
    split: Literal["train", "test"] = "train",
    data_root: str | Path | None = None,
    download: bool = False,
    output: str | Path | None = None,
    trim: bool = False,
    device: str = "auto",
) -> "NDArray[np.float32]":
    """Features of every picture of a data set: pooled maps of one layer, `(N, channels, h, w)`.

    Args:
        checkpoint: run folder or model file.
        data: as for `train`.
        layer: 1 is the lowest.
        split: train or test, for data sets that have one.
        data_root: where the torchvision data sets lie.
        download: fetch a torchvision data set that is not there.
        output: .npz file to write `features`, and `labels` and `classes` where the data has them.
        trim: cut the border that the pooling blocks do not divide instead of refusing the size.
        device: auto, cpu, cuda, ...
    """
    if output is not None and Path(output).suffix != ".npz":
        raise UsageError(f"output={str(output)!r}: name a file that ends in .npz")
    model = load(checkpoint, device=device)
    import numpy as np

    from convdbn.images import open_images
    from convdbn.readout.extract import extract

    images = open_images(data, data_root=data_root, split=split, download=download, grey=model.picture[0] == 1)
    maps = extract(model, images, layer, trim=trim)
    if output is not None:
        labels: dict[str, Any] = (
            {} if images.labels is None else {"labels": images.labels.numpy(), "classes": images.classes}
        )
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        np.savez(output, features=maps, **labels)
    return maps


def evaluate(
    *,
    checkpoint: str | Path,
    data: str | Path,
    labels: int | list[int] = 1000,
    layers: int | list[int] = 1,
    grid: int | list[int] = 5,
    classifier: Literal["svm", "linear-svm", "logistic"] = "svm",
    draws: int = 10,
    baselines: bool = False,
    data_root: str | Path | None = None,
    download: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Test error of a classifier that sees the features of few labelled pictures.

    Hyper-parameters are chosen by cross-validation on the labelled pictures, and the whole test set is classified. Of
    a folder with a sub-folder for each class a fifth of every class is the test set.

    Args:
        checkpoint: run folder or model file.
        data: as for `train`, with labels.
        labels: number of labelled pictures, or a list of numbers.
        layers: layers whose features are taken together, 1 being the lowest.
        grid: each map is averaged over this many cells along each side; a list makes a pyramid.
        classifier: svm (RBF kernel), linear-svm or logistic.
        draws: how often the labelled pictures are drawn anew.
        baselines: also raw pixels, principal components, random filters and k-means patches.
        data_root: where the torchvision data sets lie.
        download: fetch a torchvision data set that is not there.
        seed: seed of the draws and the baselines.
        device: auto, cpu, cuda, ...
    """
    model = load(checkpoint, device=device)
    from convdbn.models.pooling import Pooling
    from convdbn.readout.evaluate import compare

    train, test = _labelled_data(model, data, data_root, download)
    return compare(
        model,
        train,
        test,
        Pooling(_tuple(layers), _tuple(grid)),
        counts=_tuple(labels),
        draws=draws,
        classifier=classifier,
        baselines=baselines,
        seed=seed,
    )


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
    mirror: bool = False,
    held_out: float = 0.1,
    baseline: bool = False,
    overwrite: bool = False,
    data_root: str | Path | None = None,
    download: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Train the layers further, with labels, as a classifier; its error on the test pictures.

    Of a folder with a sub-folder for each class a fifth of every class is the test set. `load_classifier` gives the
    network in `output_dir`, an ordinary torch module.

    Args:
        checkpoint: run folder or model file.
        data: as for `train`, with labels.
        output_dir: folder for the classifier; None writes nothing.
        labels: number of labelled pictures to train on, equally many of each class; all of them otherwise.
        layers: layers that the classifier sees, 1 being the lowest; the highest otherwise.
        grid: each map is averaged over this many cells along each side; a list makes a pyramid.
        dropout: share of the averages left out at random.
        epochs: passes over the labelled pictures.
        batch: pictures in an update.
        rate: highest learning rate of the layers.
        distort: strength of random shifts, turns, stretches and smooth distortions of the pictures; 0 for none.
        mirror: mirror pictures at random; not for letters and digits.
        held_out: share of the labelled pictures that chooses the best epoch; 0 trains on all to the end.
        baseline: train the same network from random weights as well, for comparison.
        overwrite: replace a classifier that the folder holds already.
        data_root: where the torchvision data sets lie.
        download: fetch a torchvision data set that is not there.
        seed: seed of everything random.
        device: auto, cpu, cuda, ...
    """
    from convdbn.models import classifier

    folder = None if output_dir is None else Path(output_dir)
    if folder is not None and (folder / classifier.CLASSIFIER_FILE).exists() and not overwrite:
        raise UsageError(f"output_dir={str(folder)!r}: holds a classifier already; choose another, or --overwrite")
    from convdbn.models.pooling import Pooling
    from convdbn.readout import finetune as tuning
    from convdbn.readout.evaluate import labelled

    model = load(checkpoint, device=device)
    settings = tuning.FineTuning(epochs, batch, rate, distort, mirror, held_out, seed)
    train, test = _labelled_data(model, data, data_root, download)
    if labels is not None and train.labels is not None:
        train = train.select(labelled(train.labels.numpy(), labels, seed=seed).tolist())
    chosen = len(model.machines) if layers is None else layers
    pooling = Pooling(_tuple(chosen), _tuple(grid))
    network = classifier.Classifier.from_stack(model, train.classes, pooling, dropout=dropout)
    result: dict[str, Any] = {"labels": len(train)}
    if baseline:
        random = tuning.finetune(network.with_random_weights(seed=seed), train, settings)
        result["random_weights"] = {"error": tuning.error(random, test)}
    result["error"] = tuning.error(tuning.finetune(network, train, settings), test)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        classifier.save(folder / classifier.CLASSIFIER_FILE, network, {"data": str(data), "labels": len(train)})
        result["output"] = str(folder / classifier.CLASSIFIER_FILE)
    return result


def load_classifier(path: str | Path, *, device: str = "auto") -> "Classifier":
    """The classifier in a folder or file that `finetune` wrote: pictures in, logits of `classes` out."""
    from convdbn.models import classifier

    return classifier.load(path).to(_device(device))


def visualize(*, checkpoint: str | Path, output: str | Path, layer: int | None = None) -> Path:
    """Draw the filters of the layers in the space of pictures; the written file.

    Args:
        checkpoint: run folder or model file.
        output: picture to write, .png, .pdf or .svg.
        layer: one layer alone, 1 being the lowest; all of them otherwise.
    """
    model = load(checkpoint, device="cpu")
    from convdbn.visual import figures, project

    layers = range(1, len(model.machines) + 1) if layer is None else [layer]
    pictures = [project.linear_combination(model, number) for number in layers]
    titles = [f"layer {number}: {len(x)} filters" for number, x in zip(layers, pictures, strict=True)]
    return figures.save(figures.filter_grids(pictures, titles), output)


def inspect(checkpoint: str | Path) -> dict[str, Any]:
    """What a checkpoint holds: its layers and their features, its transforms, recipe, data and progress."""
    from convdbn.energy import Gaussian
    from convdbn.models import stack

    model, metadata, trainer = stack.load_run(checkpoint)
    if missing := {"data", "progress", "recipe"} - set(metadata):
        raise CheckpointError(f"checkpoint={str(checkpoint)!r}: a model without a training run ({missing} not saved)")
    return {
        "file": str(stack.model_file(checkpoint)),
        "parameters": sum(p.numel() for p in model.parameters()),
        "finished": not trainer and metadata["progress"]["layer"] == len(metadata["recipe"]["layers"]),
        "picture": list(model.picture),
        "layers": [info._asdict() for info in model.feature_info],
        "scales": [float(m.units[0].scale) if isinstance(m.units[0], Gaussian) else None for m in model.machines],
        "transform": model.transform.spec(),
        **{key: metadata[key] for key in ("data", "progress", "recipe")},
    }


TEST_SPLIT = ("digits", "mnist", "fashion-mnist", "caltech101")
"""Data sets whose test pictures serve as the held-out ones of the free-energy gap; they decide nothing."""


@contextlib.contextmanager
def stop_on_signal() -> Iterator[Any]:
    """A function that says whether Ctrl-C or a termination signal came; a second Ctrl-C stops at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(number: int, frame: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _saved_run(
    folder: Path | None, recipe: recipes.Recipe, origin: dict[str, Any], *, overwrite: bool, resume: bool
) -> bool:
    """Whether the folder holds a run to go on with; refuse one that would be lost unasked."""
    if overwrite and resume:
        raise UsageError("overwrite and resume: choose one, to replace the run or to go on with it")
    if folder is None:
        if resume:
            raise UsageError("resume=True: needs output_dir, the folder of the run to go on with")
        return False
    from convdbn.learning.checkpoint import read_metadata
    from convdbn.models.stack import MODEL_FILE

    model = folder / MODEL_FILE
    if model.exists() and resume:
        saved = read_metadata(model)
        changed = {**recipe.as_dict(), **origin}.items()
        before = {**saved["recipe"], **saved["data"]}
        different = [name for name, value in changed if json.dumps(before.get(name)) != json.dumps(value)]
        if different:
            raise UsageError(
                f"resume=True: {', '.join(different)} differ from the run in {folder}; give the same options"
            )
        return True
    if model.exists() and not overwrite:
        raise UsageError(
            f"output_dir={str(folder)!r}: holds a run already; choose another folder, --overwrite or --resume"
        )
    return False


def _labelled_data(
    model: "Stack", data: str | Path, data_root: str | Path | None, download: bool
) -> tuple["Images", "Images"]:
    """Training and test pictures with labels, in as many channels as the model takes."""
    from convdbn.images import open_images, stratified

    where: dict[str, Any] = {"data_root": data_root, "grey": model.picture[0] == 1}
    if str(data) in TEST_SPLIT:
        return open_images(data, download=download, **where), open_images(data, split="test", **where)
    whole = open_images(data, **where)
    return stratified(whole, "train"), stratified(whole, "test")


def _tuple(numbers: int | list[int]) -> tuple[int, ...]:
    return (numbers,) if isinstance(numbers, int) else tuple(numbers)


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device={name!r}: not to be had here; use cpu") from error
    return name
