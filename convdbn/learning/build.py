"""The machine that the settings of a layer ask for, and trained models that a run begins with."""

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
    """The machine of layer `depth` (from 0) of the recipe, or of all its layers where they are trained together.

    It sees `channels` channels, or as many values where it is fully connected, and has units for `classes` labels.
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
    its transform is `transform` but for resizing and padding: filters know nothing of the size of pictures."""
    model, name = open_model(recipe.initial, "model").model, recipe.initial
    layers = [f"{layer.unit.n} units, {layer.geometry}" for layer in model.layers]
    wanted = [f"{layer.filters} units, {layer.geometry}" for layer in recipe.layers]
    deep = model.deep and not recipe.joint
    if layers != wanted[: len(layers)] or deep:
        raise UsageError(f"initial={name!r}: has layers {layers}, the recipe {wanted}")
    if _without_shaping(model.transform) != _without_shaping(transform):
        raise UsageError(f"initial={name!r}: was trained with another transform, {model.transform.spec()}; take it")
    return model


def _without_shaping(transform: Pipeline) -> list[Any]:
    return [step for step in transform.spec() if step not in transform.shaping.spec()]


@torch.no_grad()
def begin_with(machine: BoltzmannMachine, model: Stack) -> None:
    """Give a deep machine the lowest layers of `model`, and its labels where they are over the same highest layer.

    Further links stay as they are, noise, so that the machine says nearly the same as the model.
    """
    machine.units[0].load_state_dict(model.machines[0].units[0].state_dict())
    for index, layer in enumerate(model.layers):
        machine.links[index].load_state_dict(layer.link.state_dict())
        machine.units[index + 1].load_state_dict(layer.unit.state_dict())
    top = model.machines[-1]
    if machine.units[-1].kind == top.units[-1].kind == "categorical" and len(machine.units) == len(model.layers) + 2:
        machine.links[-1].load_state_dict(top.links[-1].state_dict())
        machine.units[-1].load_state_dict(top.units[-1].state_dict())
