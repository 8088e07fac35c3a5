"""Models from names, paths and objects: one opening for all of them.

Models that come with the package are trained; `python scripts/pretrain.py` makes their files.
"""

import difflib
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from convdbn.errors import CheckpointError, UsageError
from convdbn.models import classifier, stack
from convdbn.models.classifier import Classifier
from convdbn.models.stack import WEIGHTS, Stack
from convdbn.storage import checkpoint
from convdbn.storage.checkpoint import WRONG_KIND, Kind
from convdbn.storage.metrics import Metrics

__all__ = ["Opened", "create_model", "names", "open_model"]

WEIGHT_STD = 0.01
"""Standard deviation of the weights of an untrained model."""


class Opened(NamedTuple):
    """A model, and all that is known of its training."""

    model: Stack | Classifier
    metadata: dict[str, Any]
    """Recipe, data and progress of a stack; options of a classifier. Empty where nothing was written."""
    trainer: dict[str, Tensor]
    """Tensors that resuming needs; none once training has finished."""
    path: Path | None
    """The file; None for a model in memory."""
    kind: Kind
    history: list[Metrics]
    """Rows of metrics."""


def open_model(source: "str | Path | Stack | Classifier", kind: Kind | None = None) -> Opened:
    """The model of that name, in that file or run folder, or the model itself.

    With `kind` only a "model" (a stack) or only a "classifier" is taken. `CheckpointError` for a source of the other
    kind, and for a file that is missing, truncated or not ours.
    """
    if isinstance(source, Stack | Classifier):
        held: Kind = "model" if isinstance(source, Stack) else "classifier"
        if kind not in (None, held):
            raise CheckpointError(f"model={type(source).__name__}: {WRONG_KIND[kind]}")
        metadata, history = (source.metadata, source.history) if isinstance(source, Stack) else ({}, [])
        return Opened(source, metadata, {}, None, held, history)
    if not isinstance(source, str | Path):
        raise UsageError(f"model={type(source).__name__}: give the name of a model, a path, or a model")
    tuned = classifier.classifier_file(source) if kind is None else None
    if kind == "classifier":
        tuned = checkpoint.file_in(Path(source), "classifier")
    if tuned is not None:
        network, metadata, trainer = classifier.load_run(tuned)
        return Opened(network, metadata, trainer, tuned, "classifier", [])
    model, metadata, trainer = stack.load_run(source)
    return Opened(model, metadata, trainer, stack.model_file(source), "model", model.history)


def names() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(file.stem for file in WEIGHTS.glob("*.safetensors"))


@torch.no_grad()
def create_model(name: str, *, pretrained: bool = True, seed: int = 0) -> Stack:
    """The model called `name` with its transforms: trained, or with small random weights and no biases.

    >>> create_model("cdbn_mnist").features(torch.rand(1, 1, 28, 28))[0].shape
    torch.Size([1, 256, 13, 13])
    """
    if name not in names():
        near = difflib.get_close_matches(str(name), names())
        meant = f"did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(f"name={name!r}: {meant}choose from {', '.join(names())}")
    model = stack.load(name)
    if not pretrained:
        generator = torch.Generator().manual_seed(seed)
        for machine in model.machines:
            for unit in machine.units:
                unit.bias.zero_()
            for link in machine.links:
                link.weight.normal_(0, WEIGHT_STD, generator=generator)
        model.metadata, model.history = {}, []
    return model
