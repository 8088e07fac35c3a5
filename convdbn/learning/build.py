"""The machine for the settings of a layer, and trained models at the start of a run."""

from typing import Any

import torch

from convdbn.energy import UNITS, BoltzmannMachine, LearnedGaussian, Unit
from convdbn.errors import UsageError
from convdbn.images import Pipeline
from convdbn.models.files import open_model
from convdbn.models.machines import conv_dbm, dbm, doubled
from convdbn.models.stack import Stack
from convdbn.recipes import Recipe

__all__ = ["begin_with", "initial_model", "machine_for"]


def machine_for(recipe: Recipe, depth: int, channels: int, classes: int = 0) -> BoltzmannMachine:
    """The machine of layer `depth` (from 0) of the recipe, or of all its layers if they are trained together.

    It sees `channels` channels, or as many values if it is fully connected, and has units for `classes` labels.
    """
    layers = recipe.layers if recipe.joint else recipe.layers[depth : depth + 1]
    lowest = layers[0]
    visible: Unit = UNITS[lowest.visible](channels)
    if lowest.variance != "fixed":
        visible = LearnedGaussian(channels, lowest.sigma, shared=lowest.variance == "scalar")
    if lowest.kernel == 0:
        machine = dbm(visible, [UNITS[layer.hidden](layer.filters) for layer in layers], classes)
    else:
        machine = conv_dbm(visible, *zip(*((layer.filters, *layer.geometry) for layer in layers), strict=True))
    if recipe.doubled and depth in (0, len(recipe.layers) - 1):
        machine = doubled(machine, below=depth == 0)
    return machine


def initial_model(recipe: Recipe, transform: Pipeline) -> Stack:
    """The trained model that the recipe begins with; UsageError unless its layers are the lowest of the recipe's, and
    its transform is `transform` except for resizing and padding: filters do not depend on the size of pictures."""
    model, name = open_model(recipe.initial, "model").model, recipe.initial
    layers = [f"{layer.unit.n} units, {layer.geometry}" for layer in model.layers]
    wanted = [f"{layer.filters} units, {layer.geometry}" for layer in recipe.layers]
    deep = model.deep and not recipe.joint
    if layers != wanted[: len(layers)] or deep:
        raise UsageError(f"initial={name!r}: has layers {layers}, but the recipe has {wanted}; make them equal")
    if _without_shaping(model.transform) != _without_shaping(transform):
        raise UsageError(
            f"initial={name!r}: has another transform, {model.transform.spec()}; use this transform in the recipe"
        )
    return model


def _without_shaping(transform: Pipeline) -> list[Any]:
    return [step for step in transform.spec() if step not in transform.shaping.spec()]


@torch.no_grad()
def begin_with(machine: BoltzmannMachine, model: Stack) -> None:
    """Copy the layers of `model` into the lowest of a deep machine, and its label units if the highest layers agree.

    The other links stay as they are, small noise, so the machine nearly agrees with the model.
    """
    machine.units[0].load_state_dict(model.machines[0].units[0].state_dict())
    for index, layer in enumerate(model.layers):
        machine.links[index].load_state_dict(layer.link.state_dict())
        machine.units[index + 1].load_state_dict(layer.unit.state_dict())
    top = model.machines[-1]
    if machine.units[-1].kind == top.units[-1].kind == "categorical" and len(machine.units) == len(model.layers) + 2:
        machine.links[-1].load_state_dict(top.links[-1].state_dict())
        machine.units[-1].load_state_dict(top.units[-1].state_dict())
