"""The verbs, from Python: each is also a command of the command line. torch is loaded when a verb runs."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from convdbn import recipes
from convdbn.errors import UsageError
from convdbn.runs import (
    TEST_SPLIT,
    as_tuple,
    check_counts,
    check_output,
    checked_device,
    labeled_data,
    parted_data,
    pictures_for,
    refuse_ignored,
    saved_run,
    seeded,
    stop_on_signal,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from convdbn.images import Images
    from convdbn.models.stack import Stack

OF_FEATURES = {"labels", "layers", "grid", "window", "draws", "baselines", "noise", "occlusion"}
UNUSED = {
    "likelihood=True": OF_FEATURES | {"classifier", "reconstruction"},
    "reconstruction=True": OF_FEATURES | {"classifier", "seed"},
    "classifier='labels'": OF_FEATURES | {"seed"},
}
"""Options of `evaluate` that other ways of evaluating use, but not this one."""


def load(checkpoint: str | Path, *, device: str = "auto") -> "Stack":
    """The trained model in a run folder or checkpoint file; `model.features(images)` gives its maps.

    Raises `CheckpointError` for a file that is missing, truncated or not ours.
    """
    from convdbn.models import stack

    return stack.load(checkpoint).to(checked_device(device))


def create_model(name: str, *, pretrained: bool = True, device: str = "auto") -> "Stack":
    """A model of the package, such as `cdbn_mnist`, trained unless `pretrained` is False; another name lists them.

    Wherever a checkpoint is asked for, the name does as well.
    """
    from convdbn.models import files

    return files.create_model(name, pretrained=pretrained).to(checked_device(device))


def train(
    *,
    recipe: str | Path = "images",
    data: str | Path = "photos",
    data_root: str | Path | None = None,
    download: bool = False,
    output_dir: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    tensorboard: bool = False,
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
        tensorboard: write curves and pictures of filters as they come, for `tensorboard --logdir OUTPUT_DIR`.
        device: auto, cpu, cuda, ...
        overrides: any field of the recipe, one value for all layers or a list with one for each.
    """
    chosen = recipes.load(recipe, **overrides)
    folder = None if output_dir is None else Path(output_dir)
    origin = {"data": str(data)}
    from convdbn.learning.greedy import GreedyTraining
    from convdbn.models.stack import MODEL_FILE

    def before(run: dict[str, Any]) -> dict[str, Any]:
        # Fields that came later have their defaults.
        saved = recipes.Recipe.from_dict(run["recipe"]).as_dict() if "recipe" in run else {}
        return {**saved, **run.get("data", {}), "refined": run.get("refined")}

    saved = saved_run(
        None if folder is None else folder / MODEL_FILE,
        {**chosen.as_dict(), **origin, "refined": None},
        before,
        overwrite=overwrite,
        resume=resume,
    )
    device = checked_device(device)
    watching = _watching(folder, chosen) if tensorboard else contextlib.nullcontext()
    images, held = _to_learn(chosen, data, data_root, download)
    with watching as watch, stop_on_signal() as stop:
        run = GreedyTraining(
            chosen, images, held_out=held, folder=folder, data=origin, device=device, stop=stop, watch=watch
        )
        if saved and folder is not None:
            run.resume(folder)
        return run.run()


def _watching(folder: Path | None, recipe: recipes.Recipe) -> Any:
    """What writes for TensorBoard, once entered."""
    if folder is None:
        raise UsageError("tensorboard=True: needs output_dir, the folder of the run to write into")
    from convdbn.learning.greedy import TENSORBOARD_FOLDER
    from convdbn.visual.tensorboard import TensorBoard

    return TensorBoard(folder / TENSORBOARD_FOLDER, recipe)


def _to_learn(
    recipe: recipes.Recipe, data: str | Path, data_root: str | Path | None, download: bool
) -> tuple["Images", "Images | None"]:
    """Pictures to learn from, and as many held-out ones as the recipe wants for the free-energy gap."""
    from convdbn.images import open_images
    from convdbn.learning.greedy import hold_out

    images = open_images(data, data_root=data_root, download=download, gray=not recipe.color)
    if str(data) not in TEST_SPLIT:
        return hold_out(images, recipe.held_out, seed=recipe.seed)
    test = open_images(data, split="test", data_root=data_root, gray=not recipe.color)
    return images, test.select(range(min(len(test), recipe.held_out))) if recipe.held_out else None


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
        checkpoint: run folder, model file, or the name of a model of the package.
        data: as for `train`.
        layer: 1 is the lowest.
        split: train or test, for data sets that have one.
        data_root: where the torchvision data sets lie.
        download: fetch a torchvision data set that is not there.
        output: .npz file to write `features`, and `labels` and `classes` where the data has them.
        trim: cut the border that the pooling blocks do not divide instead of refusing the size.
        device: auto, cpu, cuda, ...
    """
    if output is not None:
        check_output(output, ".npz")
    model = load(checkpoint, device=device)
    import numpy as np

    from convdbn.models.extract import extract

    images = pictures_for(model, data, data_root, download, split)
    maps = extract(model, images, layer, trim=trim)
    if output is not None:
        labels: dict[str, Any] = (
            {} if images.labels is None else {"labels": images.labels.numpy(), "classes": images.classes}
        )
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        with open(output, "wb") as file:  # to which numpy adds no suffix
            np.savez(file, features=maps, **labels)
    return maps


def evaluate(
    *,
    checkpoint: str | Path,
    data: str | Path,
    labels: int | list[int] = 1000,
    layers: int | list[int] = 1,
    grid: int | list[int] = 5,
    window: int = 1,
    classifier: Literal["svm", "linear-svm", "logistic", "ridge", "labels"] = "svm",
    draws: int = 10,
    baselines: bool = False,
    noise: float = 0.0,
    occlusion: float = 0.0,
    likelihood: bool = False,
    reconstruction: bool = False,
    data_root: str | Path | None = None,
    download: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Test error of a classifier that sees the features of few labeled pictures.

    Hyper-parameters are chosen by cross-validation on the labeled pictures, and the whole test set is classified. Of
    a folder with a sub-folder for each class a fifth of every class is the test set.

    Args:
        checkpoint: run folder, model file, or the name of a model of the package.
        data: as for `train`, with labels.
        labels: number of labeled pictures, or a list of numbers.
        layers: layers whose features are taken together, 1 being the lowest.
        grid: each map is averaged over this many cells along each side; a list makes a pyramid.
        window: above 1, means over windows of so many positions a side are brought to one contrast first; 3 suits
            photographs.
        classifier: svm (RBF kernel, votes of pairs), ridge (RBF kernel, for many classes), linear-svm, logistic, or
            labels: the model's own label units, for models that were trained with them.
        draws: how often the labeled pictures are drawn anew.
        baselines: also raw pixels, principal components, random filters and k-means patches.
        noise: share of the pixels of the test pictures that noise replaces.
        occlusion: share of each test picture that a black square covers.
        likelihood: instead of all this, mean log-likelihood of the test pictures in nats, for fully connected models
            and single convolutional layers, with log Z by annealed importance sampling in both directions.
        reconstruction: instead of all this, squared error of a test picture, summed over its pixels, as it comes back
            from the highest layer, beside that from as many principal components; for fully connected models.
        data_root: where the torchvision data sets lie.
        download: fetch a torchvision data set that is not there.
        seed: seed of the draws and the baselines.
        device: auto, cpu, cuda, ...
    """
    what = "likelihood=True" if likelihood else "reconstruction=True" if reconstruction else f"{classifier=}"
    refuse_ignored(evaluate, locals(), UNUSED.get(what, ()), what)
    model = load(checkpoint, device=device)
    from convdbn.evaluation.protocols import compare
    from convdbn.images.corrupt import Corrupted
    from convdbn.models.pyramid import SpatialPyramid

    if likelihood:
        from convdbn.evaluation import likelihood as nats

        return nats.likelihood(model, *parted_data(model, data, data_root, download), seed=seed)
    if reconstruction:
        from convdbn.evaluation import reconstruction as reconstruct

        return reconstruct.reconstruction(model, *parted_data(model, data, data_root, download))
    train, test = labeled_data(model, data, data_root, download)
    if classifier == "labels":
        from convdbn.evaluation.label_units import label_error

        return {"error": label_error(model, test)}
    return compare(
        model,
        train,
        Corrupted(test, noise=noise, occlusion=occlusion, seed=seed) if noise or occlusion else test,
        SpatialPyramid(as_tuple(layers), as_tuple(grid), window=window),
        counts=as_tuple(labels),
        draws=draws,
        classifier=classifier,
        baselines=baselines,
        seed=seed,
    )


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


def inspect(checkpoint: str | Path) -> dict[str, Any]:
    """What a checkpoint holds: its layers and their features, its transforms, recipe, data and progress; or what a
    classifier does, and how it was trained."""
    from convdbn.energy import Gaussian
    from convdbn.models import classifier, stack

    if (tuned := classifier.classifier_file(checkpoint)) is not None:
        network, metadata, trainer = classifier.load_run(tuned)
        return {
            "file": str(tuned),
            "parameters": sum(p.numel() for p in network.parameters()),
            "finished": not trainer,
            "classes": network.classes,
            "transform": network.transform.spec(),
            "finetuned": metadata.get("finetuned"),
        }
    model, metadata, trainer = stack.load_trained(checkpoint)
    stages = len(recipes.Recipe.from_dict(metadata["recipe"]).machines)
    return {
        "file": str(stack.model_file(checkpoint)),
        "parameters": sum(p.numel() for p in model.parameters()),
        "finished": not trainer and metadata["progress"]["layer"] == stages,
        "picture": list(model.picture),
        "layers": [info._asdict() for info in model.feature_info],
        "scales": [
            float(m.units[0].scale.mean()) if isinstance(m.units[0], Gaussian) else None for m in model.machines
        ],
        "transform": model.transform.spec(),
        **{key: metadata[key] for key in ("data", "progress", "recipe", "refined") if key in metadata},
    }
