"""What takes the gradients: SGD with momentum, or Adam."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from convdbn.energy import BoltzmannMachine, LearnedGaussian
from convdbn.ops.grad import without_gradients
from convdbn.recipes import LayerSettings

VARIANCE_RATE = 0.1
"""Learning rate of log variances, as a multiple of the weights': every unit's field changes with them."""


class Momentum:
    """Gradient descent with momentum, where the gradient's buffer is the velocity.

    An update adds its gradient to `momentum` times what the last one left in `parameter.grad`. The product that
    makes the gradient does so on its way, and a step is one pass over the parameters and their velocities;
    `torch.optim.SGD` makes three, and takes as long again for what surrounds them.
    """

    def __init__(self, groups: list[dict[str, Any]], momentum: float) -> None:
        self.param_groups = [{**group, "momentum": momentum} for group in groups]

    @without_gradients
    def step(self) -> None:
        """Move every parameter by -rate * velocity."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if isinstance(group["lr"], Tensor):
                    parameter.addcmul_(parameter.grad, group["lr"], value=-1)
                else:
                    parameter.sub_(parameter.grad, alpha=group["lr"])

    def state_dict(self) -> dict[str, Any]:
        """The velocities, in the layout of torch's optimizers."""
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        return {"state": {index: {"velocity": x.grad} for index, x in enumerate(parameters)}}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """The inverse of `state_dict`; what was not saved starts from nothing, as at the first update."""
        for index, kept in self.state_dict()["state"].items():
            velocity = saved["state"].get(index, {}).get("velocity")
            kept["velocity"].zero_() if velocity is None else kept["velocity"].copy_(velocity)


Optimizer = Momentum | torch.optim.Optimizer


def optimizer_for(machine: BoltzmannMachine, settings: LayerSettings) -> Optimizer:
    """The optimizer that `settings` asks for, with a group of parameters for each factor on the rate; every parameter
    that learns has a buffer for its gradient from here on."""
    weights = [link.weight for _, _, link in machine.unique_links]
    units = [unit for layer, unit in enumerate(machine.units) if machine.owner[layer] == layer]
    biases = [unit.bias for unit in units if unit.bias.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": weights, "factor": 1.0},
        {"params": biases, "factor": settings.bias_rate},
    ]
    variances = [unit.log_variance for unit in units if isinstance(unit, LearnedGaussian)]
    if variances:
        groups.append({"params": variances, "factor": VARIANCE_RATE})
    for parameter in machine.parameters():
        parameter.grad = None  # for good, where it does not learn
    recorded = weights[0].is_cuda  # a CUDA graph reads what changes from tensors
    for group in groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
        group["lr"] = torch.tensor(settings.rate, device=weights[0].device) if recorded else settings.rate
    if settings.optimizer == "adam":
        return torch.optim.Adam(groups, betas=(float(settings.momentum), 0.99), fused=True, capturable=recorded)
    return Momentum(groups, settings.momentum)


def optimizer_state(optimizer: Optimizer) -> dict[str, Tensor]:
    """What an optimizer remembers of each parameter."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{index}.{name}": x for index, kept in state.items() for name, x in kept.items() if x is not None
    }


def load_optimizer_state(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `optimizer_state`, among other tensors."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, x in tensors.items():
        if name.startswith("optimizer."):
            _, index, slot = name.split(".")
            state.setdefault(int(index), {})[slot] = x
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
