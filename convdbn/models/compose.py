"""Layers that were trained one after the other as one deep machine."""

import math
from typing import Any

import torch
from torch import Tensor

from convdbn.energy import BoltzmannMachine, mean_per_unit
from convdbn.errors import UsageError
from convdbn.models.stack import Stack


@torch.no_grad()
def as_dbm(stack: Stack, x: Tensor) -> BoltzmannMachine:
    """The layers of a stack as one deep machine, for inference upwards and downwards together (Lee et al. 2009,
    section 3.6); `x` are pictures as layer 1 sees them.

    The energies of the machines are added. What a lower machine alone expected of its hidden layer is taken back, or
    it would count twice: the bias of a layer in the middle is that of its machine, plus that of the one above, less
    the log-odds of the layer's mean over `x`. UsageError for a connected layer on convolutional ones, and for layers
    in the middle that are not binary.
    """
    if len(stack.machines) == 1:
        return stack.machines[0]
    if stack.deep or len({layer.dense for layer in stack.geometry}) > 1:
        raise UsageError("model: convolutional and connected layers in one stack cannot be inferred together")
    if any(machine.units[0].kind != "bernoulli" for machine in stack.machines[1:]):
        raise UsageError("model: layers above the first that do not see probabilities cannot be inferred together")
    machine = _copied(stack)
    for depth, above in enumerate(stack.machines[1:]):
        x = stack.infer(x, depth)[-1]
        typical = mean_per_unit(x).clamp(1e-4, 1 - 1e-4)
        machine.units[depth + 1].bias.add_(above.units[0].bias - typical.logit())
    return machine


@torch.no_grad()
def dbm_from_doubled(stack: Stack) -> BoltzmannMachine:
    """The deep Boltzmann machine that doubled machines were trained for (Salakhutdinov and Hinton 2009, section 3.1).

    Those at the ends see one of their layers twice, so their weights are its weights; the machines in the middle
    count both of their layers double in weights that are halved here. A layer between two machines takes the mean of
    its two biases. Its probability is then the geometric mean, renormalized, of the two that these give it. A pooling
    unit of bias b that is seen from above is a block of C x C units of bias b - log C^2.
    """
    machine = _copied(stack)
    for depth, trained in enumerate(stack.machines):
        if len(trained.units) == 2:
            machine.links[depth].weight.mul_(0.5)
        if depth:
            seen = trained.units[0].bias - 2 * math.log(stack.geometry[depth - 1].pool)
            machine.units[depth].bias.lerp_(seen, 0.5)
    return machine


@torch.no_grad()
def _copied(stack: Stack) -> BoltzmannMachine:
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
