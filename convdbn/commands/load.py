"""`load`, `load_classifier`, `create_model`: models from files and from the package."""

from pathlib import Path
from typing import TYPE_CHECKING

from convdbn.commands.options import checked_device

if TYPE_CHECKING:
    from convdbn.models.classifier import Classifier
    from convdbn.models.stack import Stack


def load(checkpoint: str | Path, *, device: str = "auto") -> "Stack":
    """The trained model in a run folder or checkpoint file; `model.features(images)` gives its maps.

    Raises `CheckpointError` for a file that is missing, truncated or not ours.
    """
    from convdbn.models import stack

    return stack.load(checkpoint).to(checked_device(device))


def load_classifier(path: str | Path, *, device: str = "auto") -> "Classifier":
    """The classifier in a folder or file that `finetune` wrote: pictures in, logits of `classes` out."""
    from convdbn.models import classifier

    return classifier.load(path).to(checked_device(device))


def create_model(name: str, *, pretrained: bool = True, device: str = "auto") -> "Stack":
    """A model of the package, such as `cdbn_mnist`, trained unless `pretrained` is False; another name lists them.

    Wherever a checkpoint is asked for, the name does as well.
    """
    from convdbn.models import files

    return files.create_model(name, pretrained=pretrained).to(checked_device(device))
