"""`inspect`: the layers of a model and its training."""

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
    """Describe a model (layers and their features, transform, recipe, data and progress) or a classifier.

    The result can be written as JSON.
    """
    from convdbn.models.classifier import Classifier
    from convdbn.models.files import open_model

    run = open_model(model)
    file = {} if run.path is None else {"file": str(run.path)}
    if isinstance(run.model, Classifier):
        tuning = {"finished": not run.trainer, "finetuned": run.metadata.get("finetuned")}
        return {**file, **_of_classifier(run.model), **(tuning if file else {})}
    stack, training = run.model, with_training(run).metadata
    return {
        **file,
        "parameters": sum(p.numel() for p in stack.parameters()),
        "finished": not run.trainer and _is_trained(training),
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
    """Whether every machine of the recipe is trained; a model without a recipe counts as trained."""
    if "recipe" not in metadata:
        return True
    stages = len(recipes.Recipe.from_dict(metadata["recipe"]).machines)
    return bool(metadata["progress"]["layer"] == stages)


def _scale(unit: "Unit") -> float | None:
    """Mean standard deviation of Gaussian units."""
    return float(unit.scale.mean()) if unit.real else None
