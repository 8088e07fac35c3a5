"""`train`: a stack of layers from pictures without labels."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convdbn import recipes
from convdbn.commands.inputs import TEST_SPLIT
from convdbn.commands.options import (
    checked_device,
    saved_run,
    stop_on_signal,
)
from convdbn.errors import UsageError

if TYPE_CHECKING:
    from convdbn.images import Images
    from convdbn.models.stack import Stack


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
    from convdbn.learning.greedy import train_greedily
    from convdbn.models.stack import MODEL_FILE

    images, held = _to_learn(chosen, data, data_root, download)
    chosen = chosen.resolved(len(images))

    def before(run: dict[str, Any]) -> dict[str, Any]:
        # Fields that came later, or that have no effect, have their defaults.
        saved = recipes.Recipe.from_dict(run["recipe"]).effective().as_dict() if "recipe" in run else {}
        return {**saved, **run.get("data", {}), "refined": run.get("refined")}

    saved = saved_run(
        None if folder is None else folder / MODEL_FILE,
        {**chosen.effective().as_dict(), **origin, "refined": None},
        before,
        overwrite=overwrite,
        resume=resume,
    )
    device = checked_device(device)
    watching = _watching(folder, chosen) if tensorboard else contextlib.nullcontext()
    with watching as watch, stop_on_signal() as stop:
        return train_greedily(
            chosen,
            images,
            held_out=held,
            folder=folder,
            data=origin,
            resume=saved,
            device=device,
            stop=stop,
            callbacks=[] if watch is None else [watch],
        )


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
    from convdbn.images.splits import hold_out

    images = open_images(data, data_root=data_root, download=download, gray=not recipe.color)
    if str(data) not in TEST_SPLIT:
        return hold_out(images, recipe.held_out, seed=recipe.seed)
    test = open_images(data, split="test", data_root=data_root, gray=not recipe.color)
    return images, test.select(range(min(len(test), recipe.held_out))) if recipe.held_out else None
