"""Tensors and JSON in one safetensors file, written so that a reader never sees half of one."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from convdbn.errors import CheckpointError

FORMAT = 1
FORMER_NAMES = {"centre": "center"}
"""Names of tensors in files of version 0.1.0, and their present names."""
TRAINER = "trainer."
"""Prefix of tensors needed only to resume training."""

Kind = Literal["model", "classifier"]
FILES: dict[Kind, str] = {"model": "model.safetensors", "classifier": "classifier.safetensors"}
"""File names of the checkpoints in a run folder."""


def write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write to a temporary file beside `path`, sync, and rename it: a crash leaves the old file or the new one."""
    header = {"convdbn": json.dumps({"format": FORMAT, **metadata})}
    # The format refuses tensors that share memory, as those of a link in two places do.
    copies = {name: x.detach().cpu().clone(memory_format=torch.contiguous_format) for name, x in tensors.items()}
    data = save(copies, header)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors (on the CPU) and metadata of a checkpoint."""
    with _open(path) as file:
        # A copy has the alignment of all tensors; with the file's alignment, products may round differently.
        tensors = {FORMER_NAMES.get(name, name): file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - no dictionary
        return tensors, _metadata(path, file)


def read_metadata(path: Path) -> dict[str, Any]:
    """Metadata of a checkpoint; the tensors are not read."""
    with _open(path) as file:
        return _metadata(path, file)


def with_trainer(model: Mapping[str, Tensor], trainer: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a model, and those needed to resume its training."""
    return {**model, **{TRAINER + name: x for name, x in trainer.items()}}


def without_trainer(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The inverse of `with_trainer`; a finished run has no tensors of a trainer."""
    trainer = {name.removeprefix(TRAINER): x for name, x in tensors.items() if name.startswith(TRAINER)}
    return {name: x for name, x in tensors.items() if not name.startswith(TRAINER)}, trainer


def _open(path: Path) -> Any:
    if not path.is_file():
        raise CheckpointError(
            f"model={str(path)!r}: no such file; give a run folder, its .safetensors file, or the name of a "
            "model of the package"
        )
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"model={str(path)!r}: is truncated, or not a safetensors file ({error}); copy it again or retrain"
        ) from error


def _metadata(path: Path, file: Any) -> dict[str, Any]:
    try:
        metadata: dict[str, Any] = json.loads((file.metadata() or {})["convdbn"])
        newer = int(metadata["format"]) > FORMAT
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"model={str(path)!r}: is a safetensors file, but not written by convdbn; give a run folder"
        ) from error
    if newer:
        raise CheckpointError(
            f"model={str(path)!r}: has format {metadata['format']}, newer than {FORMAT}; upgrade convdbn"
        )
    return metadata
