"""`train`: unsupervised training of a stack of layers."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convdbn import recipes
from convdbn.commands.inputs import Source, present_options
from convdbn.commands.options import (
    ValueRange,
    checked_device,
    command,
    saved_run,
    stop_on_signal,
)
from convdbn.errors import DataError, UsageError

if TYPE_CHECKING:
    import torch

    from convdbn.commands.inputs import Data
    from convdbn.images import Images
    from convdbn.models.stack import Stack
    from convdbn.storage.metrics import Metrics

    MakesOptimizer = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]


@command
def train(
    data: "Data" = "photos",
    *,
    recipe: "str | Path | recipes.Recipe" = "images",
    layers: "Sequence[recipes.LayerSettings] | None" = None,
    output_dir: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    tensorboard: bool = False,
    callbacks: "Sequence[Callable[[Stack, int, Metrics], Any]]" = (),
    optimizer: "str | list[str] | MakesOptimizer | None" = None,
    penalty: Any = None,
    phase: Any = None,
    verbose: bool = True,
    value_range: ValueRange = None,
    data_root: str | Path | None = None,
    download: bool = False,
    device: str = "auto",
    **settings: Any,
) -> "Stack":
    """Train a stack of layers greedily, without labels.

    Args:
        recipe: name of a recipe of the package, a YAML file, or, in Python, a `Recipe`.
        layers: the layers as `LayerSettings`, from the lowest, in place of the recipe's.
        output_dir: run folder for the model and its metrics; without one the result stays in memory.
        tensorboard: write curves and pictures of filters during training, for `tensorboard --logdir OUTPUT_DIR`.
        callbacks: functions of the model so far, the layer in training, and a new row of metrics; True stops the run.
        optimizer: a field of the recipe, or a function that makes a torch optimizer from parameter groups.
        penalty: an object of a class that derives from `convdbn.learning.Penalty`; a term of the loss.
        phase: a field of the recipe, or an object of a class that derives from `convdbn.learning.NegativePhase`.
        verbose: show the progress.
        settings: any field of the recipe, one value for all layers or a list with one value for each layer.
    """
    parts: dict[str, Any] = {"penalty": penalty}
    for name, value in (("optimizer", optimizer), ("phase", phase)):
        (settings if isinstance(value, str | list) else parts)[name] = value
    plan = recipes.load(recipe, layers=layers, **settings)
    folder = None if output_dir is None else Path(output_dir)
    if folder is None and tensorboard:
        raise UsageError("tensorboard=True: has no folder to write into; set output_dir")
    from convdbn.learning.greedy import train_greedily
    from convdbn.storage.checkpoint import FILES

    source = Source(data, value_range=value_range, data_root=data_root, download=download)
    images, held_out = _training_images(source, plan)
    plan = plan.resolved(len(images))
    saved = saved_run(
        None if folder is None else folder / FILES["model"],
        {**plan.effective().as_dict(), **source.record, "refined": None},
        _options_of,
        overwrite=overwrite,
        resume=resume,
    )
    with (
        _tensorboard(folder if tensorboard else None, plan) as writers,
        stop_on_signal() as stop,
        _errors_with_source(recipe if layers is None else layers, settings),
    ):
        return train_greedily(
            plan,
            images,
            held_out=held_out,
            folder=folder,
            data=source.record,
            resume=saved,
            device=checked_device(device),
            stop=stop,
            callbacks=[*writers, *callbacks],
            verbose=verbose,
            **{name: part for name, part in parts.items() if part is not None},
        )


def _options_of(run: dict[str, Any]) -> dict[str, Any]:
    """The options that determine the result of a saved run; newer fields and those without effect have defaults."""
    recipe = recipes.Recipe.from_dict(run["recipe"]).effective().as_dict() if "recipe" in run else {}
    return {**recipe, **present_options(run.get("data", {})), "refined": run.get("refined")}


@contextlib.contextmanager
def _errors_with_source(recipe: object, settings: dict[str, Any]) -> Iterator[None]:
    """Errors about a field that is not in `settings` name the recipe that it is in."""
    try:
        yield
    except (UsageError, DataError) as error:
        raise type(error)(recipes.with_source(str(error), recipe, settings)) from error


@contextlib.contextmanager
def _tensorboard(folder: Path | None, recipe: recipes.Recipe) -> Iterator[list[Any]]:
    """A list with the callback that writes for TensorBoard into the folder; empty without a folder."""
    if folder is None:
        yield []
        return
    from convdbn.learning.greedy import TENSORBOARD_FOLDER
    from convdbn.visual.tensorboard import TensorBoard

    with TensorBoard(folder / TENSORBOARD_FOLDER, recipe) as writer:
        yield [writer]


def _training_images(source: Source, recipe: recipes.Recipe) -> tuple["Images", "Images | None"]:
    """Training pictures, and the held-out ones that the recipe requests for the free-energy gap."""
    from convdbn.images import hold_out

    channels = 3 if recipe.color else 1
    images = source.images(channels)
    if not source.has_test_split:
        return hold_out(images, recipe.held_out, seed=recipe.seed)
    test = source.images(channels, "test")
    return images, test.select(range(min(len(test), recipe.held_out))) if recipe.held_out else None
