"""Convolutional deep belief networks: image features learned without labels, layer by layer.

model = convdbn.train(recipe="photos", data="photos", output_dir="run")
model = convdbn.load("run")
maps = model.features(images)       # a list, one tensor per layer
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = [
    "complete",
    "create_model",
    "demo",
    "evaluate",
    "features",
    "finetune",
    "inspect",
    "load",
    "load_classifier",
    "plot",
    "refine",
    "report",
    "sample",
    "train",
    "visualize",
]
_ELSEWHERE = (
    {"demo": "demonstration", "report": "shown"}
    | dict.fromkeys(("complete", "finetune", "load_classifier", "refine"), "further")
    | dict.fromkeys(("plot", "visualize"), "plotting")
)


def __getattr__(name: str) -> Any:
    """The verbs, loaded when first used, so that the command line answers at once."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"convdbn.{_ELSEWHERE.get(name, 'api')}"), name)
