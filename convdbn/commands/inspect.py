"""`inspect`: what a model is, and how it was trained."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from convdbn import recipes
from convdbn.commands.inputs import with_training
from convdbn.commands.options import (
    command,
)

if TYPE_CHECKING:
    from convdbn.commands.inputs import Model
    from convdbn.energy import Unit
    from convdbn.models.classifier import Classifier


@command
def inspect(model: "Model | Classifier") -> dict[str, Any]:
    """What a model holds: layers and their features, transform, recipe, data and progress; or what a classifier does.

    Everything in the result can be written as JSON.
    """
    from convdbn.models.classifier import Classifier
    from convdbn.models.files import open_model

    found = open_model(model)
    file = {} if found.path is None else {"file": str(found.path)}
    if isinstance(found.model, Classifier):
        tuning = {"finished": not found.trainer, "finetuned": found.metadata.get("finetuned")}
        return {**file, **_of_classifier(found.model), **(tuning if file else {})}
    stack, training = found.model, with_training(found).metadata
    return {
        **file,
        "parameters": sum(p.numel() for p in stack.parameters()),
        "finished": not found.trainer and _is_trained(training),
        "picture": list(stack.picture),
        "layers": [info._asdict() for info in stack.feature_info],
        "scales": [_scale(machine.units[0]) for machine in stack.machines],
        "transform": stack.transform.spec(),
        **{key: training[key] for key in ("data", "progress", "recipe", "refined") if key in training},
    }


def _of_classifier(network: "Classifier") -> dict[str, Any]:
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "classes": network.classes,
        "transform": network.transform.spec(),
    }


def _is_trained(metadata: Mapping[str, Any]) -> bool:
    """Whether every machine of the recipe is trained; models without a recipe are what they are."""
    if "recipe" not in metadata:
        return True
    stages = len(recipes.Recipe.from_dict(metadata["recipe"]).machines)
    return bool(metadata["progress"]["layer"] == stages)


def _scale(unit: "Unit") -> float | None:
    """Mean standard deviation of Gaussian units."""
    return float(unit.scale.mean()) if unit.real else None
