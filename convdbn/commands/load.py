"""`load`, `load_classifier`, `create_model`: models from files and from the package."""

from pathlib import Path
from typing import TYPE_CHECKING

from convdbn.commands.inputs import classifier_from, model_from
from convdbn.commands.options import checked_device, command

if TYPE_CHECKING:
    from convdbn.models.classifier import Classifier
    from convdbn.models.stack import Stack


@command
def load(model: str | Path, *, device: str = "auto") -> "Stack":
    """The trained model of this name or path; `model.features(images)` computes its maps.

    Raises `CheckpointError` for a file that is missing, truncated, or not a checkpoint of convdbn.
    """
    return model_from(model, device)


@command
def load_classifier(model: str | Path, *, device: str = "auto") -> "Classifier":
    """The classifier in a folder or file that `finetune` wrote: pictures in, logits of `classes` out."""
    return classifier_from(model, device)


@command
def create_model(name: str, *, pretrained: bool = True, device: str = "auto") -> "Stack":
    """A model of the package, such as `cdbn_mnist`, with its trained weights unless `pretrained` is False.

    The error for an unknown name lists all names. Commands accept the name wherever they take a model.
    """
    from convdbn.models import files

    return files.create_model(name, pretrained=pretrained).to(checked_device(device))
