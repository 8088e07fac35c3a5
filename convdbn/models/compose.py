"""Layers that were trained one after the other, joined into one deep machine."""

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

    The energies of the machines are added. The mean that a lower machine expects of its hidden layer would count
    twice, so it is subtracted: the bias of a layer in the middle is its bias as a hidden layer, plus its bias as a
    visible layer, less the log-odds of its mean over `x`. UsageError for connected layers above convolutional ones,
    and for layers in the middle that are not binary.
    """
    if len(stack.machines) == 1:
        return stack.machines[0]
    if stack.deep or len({layer.dense for layer in stack.geometry}) > 1:
        raise UsageError(
            "model: convolutional and connected layers in one stack cannot be inferred together; make all one kind"
        )
    if any(machine.units[0].kind != "bernoulli" for machine in stack.machines[1:]):
        raise UsageError(
            "model: layers above the first that see no binary units cannot be inferred together; train them with "
            "visible: bernoulli"
        )
    machine = _joined(stack)
    for depth, above in enumerate(stack.machines[1:]):
        x = stack.infer(x, depth)[-1]
        mean = mean_per_unit(x).clamp(1e-4, 1 - 1e-4)
        machine.units[depth + 1].bias.add_(above.units[0].bias - mean.logit())
    return machine


@torch.no_grad()
def dbm_from_doubled(stack: Stack) -> BoltzmannMachine:
    """The deep Boltzmann machine that doubled machines were trained for (Salakhutdinov and Hinton 2009, section 3.1).

    The machines at the ends were trained with one layer doubled, and their weights stay as they are. Those in the
    middle were not doubled, and their weights are halved. A layer between two machines takes the mean of its two
    biases; its probability is then the normalized geometric mean of the two probabilities that the machines give it.
    The bias b of a pooling unit in the machine above is a bias b - log C^2 of each of the C x C units in its block.
    """
    machine = _joined(stack)
    for depth, trained in enumerate(stack.machines):
        if len(trained.units) == 2:
            machine.links[depth].weight.mul_(0.5)
        if depth:
            from_above = trained.units[0].bias - 2 * math.log(stack.geometry[depth - 1].pool)
            machine.units[depth].bias.lerp_(from_above, 0.5)
    return machine


@torch.no_grad()
def _joined(stack: Stack) -> BoltzmannMachine:
    """A deep machine with copies of a stack's links, its visible units, and its hidden units, whose biases are those
    of the machine in which they are hidden."""
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
