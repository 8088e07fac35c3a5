"""`inspect`: the layers of a model and its training."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from convdbn import recipes
from convdbn.commands.inputs import with_present_names, with_training
from convdbn.commands.options import (
    command,
)
from convdbn.recipes.geometry import receptive_field

if TYPE_CHECKING:
    from convdbn.commands.inputs import Model
    from convdbn.energy import Unit
    from convdbn.models.classifier import Classifier
    from convdbn.models.stack import FeatureInfo, Stack


@command
def inspect(model: "Model | Classifier") -> dict[str, Any]:
    """Describe a model (layers and their features, transform, recipe, data and progress) or a classifier.

    Receptive fields are in pixels of the transformed picture: `receptive_field` is what a pooling unit sees,
    `receptive_field_before_pooling` what each unit of its block sees.
    The result can be written as JSON.
    """
    from convdbn.models.classifier import Classifier
    from convdbn.models.files import open_model

    run = open_model(model)
    file = {} if run.path is None else {"file": str(run.path)}
    if isinstance(run.model, Classifier):
        tuning = {"finished": not run.trainer, "finetuned": with_present_names(run.metadata.get("finetuned") or {})}
        return {**file, **_of_classifier(run.model), **(tuning if file else {})}
    stack, training = run.model, with_training(run).metadata
    return {
        **file,
        "parameters": sum(p.numel() for p in stack.parameters()),
        "finished": not run.trainer and _is_trained(training),
        "picture": list(stack.picture),
        "layers": [_layer(stack, info) for info in stack.feature_info],
        "scales": [_scale(machine.units[0]) for machine in stack.machines],
        "transform": stack.transform.spec(),
        **{key: training[key] for key in ("data", "progress", "recipe") if key in training},
        **({"refined": with_present_names(training["refined"])} if "refined" in training else {}),
    }


def _of_classifier(network: "Classifier") -> dict[str, Any]:
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "classes": network.classes,
        "transform": network.transform.spec(),
    }


def _layer(stack: "Stack", info: "FeatureInfo") -> dict[str, Any]:
    """The features of a layer, whose receptive field is that of a pooling unit, and the one of a unit before pooling
    (0 for fully connected layers)."""
    sides = [receptive_field(stack.geometry[: info.layer], axis)[0] for axis in (0, 1)]
    return {**info._asdict(), "receptive_field_before_pooling": max(sides) if info.receptive_field else 0}


def _is_trained(metadata: Mapping[str, Any]) -> bool:
    """Whether every machine of the recipe is trained; a model without a recipe counts as trained."""
    if "recipe" not in metadata:
        return True
    stages = len(recipes.Recipe.from_dict(metadata["recipe"]).machines)
    return bool(metadata["progress"]["layer"] == stages)


def _scale(unit: "Unit") -> float | None:
    """Mean standard deviation of Gaussian units."""
    return float(unit.scale.mean()) if unit.real else None
