"""Passes through the layers of a stack: fields upwards, and pictures from a state downwards."""

import torch
from torch import Tensor

from convdbn.energy import spread
from convdbn.models.fitting import fitted
from convdbn.models.stack import Stack
from convdbn.recipes.geometry import output_side, trimmed_size
from convdbn.sampling.gibbs import Rule, mean


def visible(stack: Stack, images: Tensor, layers: int) -> Tensor:
    """Pictures as layer 1 sees them, without the border that the blocks of the lowest `layers` layers do not divide.

    DataError for pictures that do not fit, as in `Stack.features`.
    """
    x = fitted(stack.prepare(images), stack.geometry[:layers], "trim")
    stack.machines[0].units[0].check(x.flatten(1) if stack.geometry[0].dense else x, "images")
    return x


def upward(stack: Stack, x: Tensor, layers: int) -> list[Tensor]:
    """Fields that reach the lowest `layers` hidden layers from below, over pictures `x` as layer 1 sees them;
    differentiable.

    Each layer passes its means on. In a deep Boltzmann machine the field from above is left out, so every field
    depends only on the receptive field of its unit.
    """
    fields: list[Tensor] = []
    lowest = stack.layers[:layers]
    for depth, layer in enumerate(lowest):
        machine = stack.machines[layer.machine]
        x = x.flatten(1) if layer.geometry.dense else x
        fields.append(machine.field(machine.only(layer.position - 1, x), layer.position))
        if depth + 1 < len(lowest):
            same_machine = lowest[depth + 1].machine == layer.machine
            x = layer.unit.mean(fields[-1]) if same_machine else layer.unit.pooling_mean(fields[-1])
    return fields


@torch.no_grad()
def downward(stack: Stack, layer: int, x: Tensor, rule: Rule = mean) -> Tensor:
    """Mean pictures `(B, c, h, w)`, as layer 1 sees them, for states `x` of hidden layer `layer`; `rule` turns the
    field from above into the state of each layer in between."""
    for depth in range(layer - 1, -1, -1):
        above = stack.layers[depth]
        machine = stack.downward(above.machine)
        unit = machine.units[above.position - 1]
        field = machine.field(machine.only(above.position, x), above.position - 1)
        x = rule(unit, field) if depth else unit.mean(field)
        if depth and above.position == 1:
            x = spread_over_blocks(stack, depth, x)
    return as_maps(stack, 0, x)


def spread_over_blocks(stack: Stack, layer: int, x: Tensor) -> Tensor:
    """States of hidden layer `layer` from the states of its pooling units, maps or the vectors of a connected layer.

    Where a pooling unit is on, one unit of its block is on, and it may be any of them: each takes an equal share.
    """
    x, block = as_maps(stack, layer, x), stack.geometry[layer - 1].pool
    return spread(x, block) / block**2


def as_maps(stack: Stack, layer: int, x: Tensor) -> Tensor:
    """Pooled maps of hidden layer `layer` (0 is the pictures); vectors take the height and width of the maps over
    pictures of the size that the stack was trained on."""
    if x.ndim == 4:
        return x
    if layer == 0:
        return x.view(len(x), *stack.picture)
    below = stack.geometry[:layer]
    if below[-1].dense:
        return x
    size = trimmed_size(stack.picture[1:], stack.geometry)
    sides = [output_side(side, below, axis) for axis, side in enumerate(size)]
    return x.view(len(x), stack.layers[layer - 1].unit.n, *sides)
