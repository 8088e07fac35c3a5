"""Convolutional deep belief networks: image features learned without labels, layer by layer.

model = convdbn.train("photos", recipe="photos", output_dir="run")
model = convdbn.load("run")
maps = model.features(images)       # a list, one tensor per layer
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from convdbn.commands import COMMANDS

if TYPE_CHECKING:
    from convdbn.commands.complete import complete as complete
    from convdbn.commands.demo import demo as demo
    from convdbn.commands.evaluate import evaluate as evaluate
    from convdbn.commands.features import features as features
    from convdbn.commands.finetune import finetune as finetune
    from convdbn.commands.inspect import inspect as inspect
    from convdbn.commands.label_error import label_error as label_error
    from convdbn.commands.likelihood import likelihood as likelihood
    from convdbn.commands.load import create_model as create_model
    from convdbn.commands.load import load as load
    from convdbn.commands.load import load_classifier as load_classifier
    from convdbn.commands.plot import plot as plot
    from convdbn.commands.reconstruction import reconstruction as reconstruction
    from convdbn.commands.refine import refine as refine
    from convdbn.commands.report import report as report
    from convdbn.commands.sample import sample as sample
    from convdbn.commands.train import train as train
    from convdbn.commands.visualize import visualize as visualize
    from convdbn.images import as_images as as_images

__version__ = "0.2.0"
_ELSEWHERE = {
    "as_images": "images",
    "create_model": "commands.load",
    "load": "commands.load",
    "load_classifier": "commands.load",
}
"""Where the public names live that are no command of the command line."""
__all__ = sorted([*COMMANDS, *_ELSEWHERE])


def __getattr__(name: str) -> Any:
    """The public names, loaded when first used, so that the command line answers at once."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ELSEWHERE.get(name, f'commands.{name}')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
