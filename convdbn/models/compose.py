"""Layers that were trained one after the other as one deep machine."""

import math
from typing import Any

import torch

from convdbn.energy import BoltzmannMachine
from convdbn.models.stack import Stack


@torch.no_grad()
def chained(stack: Stack) -> BoltzmannMachine:
    """A deep machine of the layers of a stack: its links, the visible units, and the hidden ones with the biases that
    they have above their own link."""
    spec: dict[str, list[Any]] = {"units": [stack.machines[0].units[0].spec()], "links": []}
    for depth, layer in enumerate(stack.layers):
        below = {"pool": stack.geometry[depth - 1].pool} if depth and not layer.geometry.dense else {}
        spec["units"].append(layer.unit.spec())
        spec["links"].append([depth, depth + 1, {**layer.link.spec(), **below}])
    machine = BoltzmannMachine.build(spec).to(stack.machines[0].units[0].bias)
    machine.units[0].load_state_dict(stack.machines[0].units[0].state_dict())
    for depth, layer in enumerate(stack.layers):
        machine.links[depth].load_state_dict(layer.link.state_dict())
        machine.units[depth + 1].load_state_dict(layer.unit.state_dict())
    return machine.eval()


@torch.no_grad()
def composed(stack: Stack) -> BoltzmannMachine:
    """The deep Boltzmann machine that doubled machines were trained for (Salakhutdinov and Hinton 2009, section 3.1).

    Those at the ends see one of their layers twice, so their weights are its weights; the machines in the middle
    count both of their layers double in weights that are halved here. A layer between two machines takes the mean of
    its two biases. Its probability is then the geometric mean, renormalized, of the two that these give it. A pooling
    unit of bias b that is seen from above is a block of C x C units of bias b - log C^2.
    """
    machine = chained(stack)
    for depth, trained in enumerate(stack.machines):
        if len(trained.units) == 2:
            machine.links[depth].weight.mul_(0.5)
        if depth:
            seen = trained.units[0].bias - 2 * math.log(stack.geometry[depth - 1].pool)
            machine.units[depth].bias.lerp_(seen, 0.5)
    return machine
