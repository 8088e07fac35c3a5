"""Optimizers: SGD with momentum, Adam, or any optimizer of torch."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from convdbn.energy import BoltzmannMachine
from convdbn.errors import UsageError
from convdbn.ops.grad import without_gradients
from convdbn.recipes import LayerSettings

__all__ = ["Gradients", "Groups", "MakeOptimizer", "Momentum", "Optimizer", "TorchOptimizer", "optimizer_for"]

VARIANCE_RATE = 0.1
"""Learning rate of the other parameters of units than biases (log variances), as a multiple of the weights' rate:
small, because every field of the layer changes with them."""

Groups = list[dict[str, Any]]
"""Groups of parameters, as torch's optimizers take them; `factor` is the group's factor on the rate."""

MakeOptimizer = Callable[[Groups], torch.optim.Optimizer]
"""Makes an optimizer from groups of parameters, as the classes of `torch.optim` do."""

Gradients = Mapping[nn.Parameter, Tensor]


class Optimizer(ABC):
    """Moves parameters by their gradients.

    `gradients` has a buffer for each parameter that learns. An update multiplies the buffer by `share_kept`, adds its
    gradient, and calls `step`. Afterwards `parameter.grad` is None.
    """

    param_groups: Groups

    def __init__(self, groups: Groups) -> None:
        self.gradients = {x: torch.zeros_like(x) for group in groups for x in group["params"]}

    @property
    def share_kept(self) -> float:
        """Factor of the last gradients in the next."""
        return 0.0

    def schedule(self, rate: float, momentum: float) -> None:
        """Set the rate, times the factor of each group, and the momentum."""
        for group in self.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate * group["factor"])
            else:
                group["lr"] = rate * group["factor"]

    @abstractmethod
    def step(self, gradients: Gradients) -> None:
        """Move the parameters by these gradients: those in the buffers, or their transforms to other coordinates."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """The optimizer's state for each parameter."""

    @abstractmethod
    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""


class Momentum(Optimizer):
    """Gradient descent with momentum, where the gradient's buffer is the velocity.

    An update adds its gradient to `momentum` times the last velocity. The matrix product for the gradient includes
    this sum, and a step is one pass over the parameters and their velocities; `torch.optim.SGD` needs three passes,
    and its overhead takes as long again.
    """

    def __init__(self, groups: Groups, momentum: float) -> None:
        super().__init__(groups)
        self.param_groups = [{**group, "momentum": momentum} for group in groups]

    @property
    def share_kept(self) -> float:
        return float(self.param_groups[0]["momentum"])

    def schedule(self, rate: float, momentum: float) -> None:
        super().schedule(rate, momentum)
        for group in self.param_groups:
            group["momentum"] = momentum

    @without_gradients
    def step(self, gradients: Gradients) -> None:
        """Move every parameter by -rate * velocity."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if isinstance(group["lr"], Tensor):
                    parameter.addcmul_(gradients[parameter], group["lr"], value=-1)
                else:
                    parameter.sub_(gradients[parameter], alpha=group["lr"])

    def state(self) -> dict[str, Tensor]:
        return {f"{index}.velocity": x for index, x in enumerate(self.gradients.values())}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `state`; a velocity that is not in the file starts at 0, as at the first update."""
        for name, velocity in self.state().items():
            velocity.copy_(tensors[name]) if name in tensors else velocity.zero_()


class TorchOptimizer(Optimizer):
    """An optimizer of torch; `parameter.grad` is set only during its step."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        super().__init__(optimizer.param_groups)
        self.optimizer = optimizer

    @property
    def param_groups(self) -> Groups:  # type: ignore[override]
        return self.optimizer.param_groups

    def step(self, gradients: Gradients) -> None:
        for parameter in self.gradients:
            parameter.grad = gradients[parameter]
        self.optimizer.step()
        for parameter in self.gradients:
            parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        return torch_state(self.optimizer)

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        load_torch_state(self.optimizer, tensors)


class Adam(TorchOptimizer):
    """Adam, whose decay of the first moment follows the momentum; that of the second moment is .99."""

    def __init__(self, groups: Groups, momentum: float, *, recorded: bool) -> None:
        betas = (float(momentum), 0.99)
        super().__init__(torch.optim.Adam(groups, betas=betas, fused=True, capturable=recorded))

    def schedule(self, rate: float, momentum: float) -> None:
        super().schedule(rate, momentum)
        for group in self.param_groups:
            group["betas"] = (momentum, group["betas"][1])


def optimizer_for(machine: BoltzmannMachine, settings: LayerSettings, make: MakeOptimizer | None = None) -> Optimizer:
    """The optimizer of `settings`, or one from `make`, with a group of parameters for each factor on the rate.

    An optimizer from `make` follows the rate of the settings; all else, such as momentum, is its own.
    """
    groups = _groups(machine, settings)
    if make is not None:
        return TorchOptimizer(_call(make, [{**group, "lr": settings.rate} for group in groups]))
    weight = machine.links[0].weight
    recorded = weight.is_cuda  # a CUDA graph can read changing numbers only from tensors
    for group in groups:
        group["lr"] = torch.tensor(settings.rate, device=weight.device) if recorded else settings.rate
    if settings.optimizer == "adam":
        return Adam(groups, settings.momentum, recorded=recorded)
    return Momentum(groups, settings.momentum)


def _call(make: MakeOptimizer, groups: Groups) -> torch.optim.Optimizer:
    """The result of `make`; UsageError unless it is an optimizer of torch."""
    remedy = "give a callable that makes an optimizer of torch from groups of parameters, as torch.optim.RMSprop does"
    try:
        optimizer = make(groups)
    except (TypeError, ValueError) as error:
        raise UsageError(f"optimizer={make!r}: {error}; {remedy}") from error
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise UsageError(f"optimizer={make!r}: returned a {type(optimizer).__name__}; {remedy}")
    return optimizer


def still(machine: BoltzmannMachine) -> list[nn.Parameter]:
    """Parameters that do not learn: the bias of real-valued input stays at the data's mean, because the transform
    centers the data (Lee et al. 2009)."""
    visible = machine.units[0]
    return [visible.bias] if visible.real else []


def _groups(machine: BoltzmannMachine, settings: LayerSettings) -> Groups:
    units = [unit for layer, unit in enumerate(machine.units) if machine.owner[layer] == layer]
    weights = [link.weight for _, _, link in machine.unique_links]
    biases = [unit.bias for unit in units]
    others = [x for unit in units for x in unit.parameters() if x is not unit.bias]
    groups = ((weights, 1.0), (biases, settings.bias_rate), (others, VARIANCE_RATE))
    fixed = {id(x) for x in still(machine)}
    learn = [([x for x in group if x.requires_grad and id(x) not in fixed], factor) for group, factor in groups]
    return [{"params": group, "factor": factor} for group, factor in learn if group]


def torch_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of a torch optimizer for each parameter, as tensors."""
    return {
        f"{index}.{name}": torch.as_tensor(x)
        for index, slots in optimizer.state_dict()["state"].items()
        for name, x in slots.items()
        if x is not None
    }


def load_torch_state(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `torch_state`."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, x in tensors.items():
        index, slot = name.split(".")
        state.setdefault(int(index), {})[slot] = x
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
