"""`refine`: joint training of all layers of a stack."""

import copy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convdbn.commands.inputs import Source, model_name, present_options
from convdbn.commands.options import (
    ValueRange,
    checked_device,
    command,
    saved_run,
    stop_on_signal,
)
from convdbn.recipes import checked
from convdbn.recipes.tuning import Method, Refinement

if TYPE_CHECKING:
    from convdbn.commands.inputs import Data, Model
    from convdbn.models.stack import Stack


@command
def refine(
    model: "Model",
    data: "Data",
    *,
    method: Method,
    output_dir: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    value_range: ValueRange = None,
    data_root: str | Path | None = None,
    download: bool = False,
    seed: int = 0,
    device: str = "auto",
    **settings: Any,
) -> "Stack":
    """Train all layers of a fully connected stack together, with separate upward and downward weights.

    As an autoencoder the layers learn to reconstruct the picture from the highest (Hinton and Salakhutdinov 2006);
    up-down learning makes a better generator (Hinton, Osindero and Teh 2006), with the label units of the top machine
    if it has some. Returns the refined stack; a model in memory stays as it is. The run in `output_dir` is like one
    of `train`.

    Args:
        method: autoencoder or up-down.
        settings: any field of `Refinement`, such as epochs=20.
    """
    refinement = checked(Refinement, {**settings, "method": method, "seed": seed})
    from convdbn.learning.refine import refine_on
    from convdbn.models.files import open_model, save
    from convdbn.storage.checkpoint import FILES
    from convdbn.storage.resumable import Checkpointing

    source = Source(data, value_range=value_range, data_root=data_root, download=download)
    file = None if output_dir is None else Path(output_dir, FILES["model"])
    options = {**vars(refinement), "model": model_name(model), **source.record}
    saved = saved_run(file, options, _options_of, overwrite=overwrite, resume=resume)
    run = open_model(file if file is not None and saved else model, "model")
    stack = copy.deepcopy(run.model) if run.path is None else run.model
    stack.to(checked_device(device))
    if saved and not run.trainer:
        return stack
    labeled = stack.machines[-1].units[-1].kind == "categorical"
    train, _ = (source.labeled if labeled else source.parted)(stack.channels)
    stack.metadata["refined"] = options
    write = None if file is None else partial(save, file, stack, stack.metadata)
    with stop_on_signal() as stop:
        result = refine_on(stack, train, refinement, Checkpointing(write, stop, run.trainer if saved else {}))
    if write is not None:
        write({})
    return result


def _options_of(run: dict[str, Any]) -> dict[str, Any]:
    """The options of a saved run; empty for a run of another command."""
    return present_options(run.get("refined") or {})
