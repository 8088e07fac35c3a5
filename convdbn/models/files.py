"""Models on disk: `open_model` takes names, paths and objects, and `save` writes.

`python scripts/pretrain.py` trains the models that come with the package and writes their files.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar, overload

import torch
from torch import Tensor

from convdbn.errors import CheckpointError, UsageError
from convdbn.models.classifier import Classifier
from convdbn.models.stack import Stack
from convdbn.recipes.recipe import recipe_with_new_names
from convdbn.storage import checkpoint, metrics
from convdbn.storage.checkpoint import FILES, Kind
from convdbn.storage.metrics import METRICS_FILE, Metrics

__all__ = ["WEIGHTS", "Opened", "create_model", "names", "open_model", "save"]

WEIGHTS = Path(__file__).parents[1] / "weights"
"""The folder of the models that come with the package."""
WEIGHT_STD = 0.01
"""Standard deviation of the weights of an untrained model."""
WRONG_KIND: dict[Kind, str] = {
    "model": "holds a classifier, not a model; name the model that it was made from, which `convdbn inspect` shows",
    "classifier": "holds a model, not a classifier; make one of it with `convdbn finetune`",
}
"""Messages for a source of the other kind, by the kind that was asked for."""

M = TypeVar("M", bound=Stack | Classifier, covariant=True)


class Opened(NamedTuple, Generic[M]):
    """A model, and what its files tell of its training."""

    model: M
    metadata: dict[str, Any]
    """Recipe, data and progress of a stack; options of a classifier. Empty for a model without a record."""
    trainer: dict[str, Tensor]
    """Tensors that resuming needs; none once training has finished."""
    path: Path | None
    """The file; None for a model in memory."""
    history: list[Metrics]
    """Rows of metrics."""


Source = str | Path | Stack | Classifier
"""A model by its name, its file or run folder, or the model itself."""


@overload
def open_model(source: Source, kind: Literal["model"]) -> Opened[Stack]: ...
@overload
def open_model(source: Source, kind: Literal["classifier"]) -> Opened[Classifier]: ...
@overload
def open_model(source: Source, kind: None = None) -> Opened[Stack] | Opened[Classifier]: ...
def open_model(source: Source, kind: Kind | None = None) -> Opened[Any]:
    """The model with a name, in a file or run folder, or the model itself.

    `kind` accepts only a "model" (a stack) or only a "classifier". `CheckpointError` for a source of the other kind,
    and for a file that is missing, truncated or not written by convdbn.
    """
    if isinstance(source, Stack | Classifier):
        actual: Kind = "model" if isinstance(source, Stack) else "classifier"
        if kind not in (None, actual):
            raise CheckpointError(f"model={type(source).__name__}: {WRONG_KIND[kind]}")
        metadata, history = (source.metadata, source.history) if isinstance(source, Stack) else ({}, [])
        return Opened(source, metadata, {}, None, history)
    if not isinstance(source, str | Path):
        raise UsageError(f"model={type(source).__name__}: pass the name of a model, a path, or a model")
    file = _file(Path(source), kind or "model")
    tensors, metadata = checkpoint.read(file)
    actual = "classifier" if "classifier" in metadata else "model"
    if kind not in (None, actual):
        raise CheckpointError(f"model={str(file)!r}: {WRONG_KIND[kind]}")
    parameters, trainer = checkpoint.without_trainer(tensors)
    model = _built(file, actual, metadata.get(actual), parameters)
    if isinstance(model, Classifier):
        return Opened(model, metadata, trainer, file, [])
    csv_file = file.with_name(METRICS_FILE)
    rows = metrics.read(csv_file) if file.parent != WEIGHTS and csv_file.is_file() else []
    model.history = metadata.pop("history", rows)
    model.metadata = {name: value for name, value in metadata.items() if name not in ("format", "model")}
    if "recipe" in model.metadata:
        model.metadata["recipe"] = recipe_with_new_names(model.metadata["recipe"])
    return Opened(model, model.metadata, trainer, file, model.history)


def save(
    path: Path, model: Stack | Classifier, metadata: Mapping[str, Any], trainer: Mapping[str, Tensor] | None = None
) -> None:
    """Write the model with its transform, its `metadata`, and the `trainer` tensors that resuming needs."""
    kind: Kind = "model" if isinstance(model, Stack) else "classifier"
    tensors = checkpoint.with_trainer(model.state_dict(), trainer or {})
    checkpoint.write(path, tensors, {**metadata, kind: model.spec()})


def names() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(file.stem for file in WEIGHTS.glob("*.safetensors"))


@torch.no_grad()
def create_model(name: str, *, pretrained: bool = True, seed: int = 0) -> Stack:
    """The packaged model `name` with its transform: trained, or with small random weights and zero biases.

    >>> create_model("cdbn_mnist").features(torch.rand(1, 1, 28, 28))[0].shape
    torch.Size([1, 256, 13, 13])
    """
    if name not in names():
        raise UsageError(f"name={name!r}: no such model; {_suggestion(str(name))}choose from {', '.join(names())}")
    model = open_model(name, "model").model
    if not pretrained:
        generator = torch.Generator().manual_seed(seed)
        for machine in model.machines:
            for unit in machine.units:
                unit.bias.zero_()
            for link in machine.links:
                link.weight.normal_(0, WEIGHT_STD, generator=generator)
        model.metadata, model.history = {}, []
    return model


def _file(path: Path, kind: Kind) -> Path:
    """The checkpoint file of a path or a name; of two in one folder, the one of this kind."""
    if path.is_dir():
        return next((file for name in (kind, *FILES) if (file := path / FILES[name]).is_file()), path / FILES[kind])
    if path.exists():
        return path
    if str(path) in names():
        return WEIGHTS / f"{path}.safetensors"
    if suggestion := _suggestion(str(path)):
        raise CheckpointError(f"model={str(path)!r}: no such file or model; {suggestion}".strip())
    return path


def _suggestion(name: str) -> str:
    near = difflib.get_close_matches(name, names())
    return f"did you mean {' or '.join(near)}? " if near else ""


def _built(file: Path, kind: Kind, spec: Any, parameters: Mapping[str, Tensor]) -> Stack | Classifier:
    """The model that `spec` describes, with these parameters."""
    build = Classifier.build if kind == "classifier" else Stack.build
    try:
        model = build(spec)
        model.load_state_dict(parameters)
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"model={str(file)!r}: parameters do not fit the architecture ({error}); open it with the version "
            "of convdbn that wrote it, or train again"
        ) from error
    return model.eval()
