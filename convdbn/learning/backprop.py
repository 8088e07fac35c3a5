"""Backpropagation for networks that begin as a trained stack."""

import itertools
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from convdbn.errors import Diverged
from convdbn.learning.capture import Captured
from convdbn.learning.optimizer import load_torch_state, torch_state

__all__ = ["Backprop", "shuffled"]

WARM_UP = 0.1
"""Share of the updates over which the rates rise."""
OPTIMIZER = "optimizer."
"""Prefix of the names of the optimizer's tensors."""


def shuffled(count: int, batch: int, *, seed: int, start: int = 0) -> Iterator[Tensor]:
    """Indices of update `start` and those after it: each epoch goes through all whole batches in a new random order.

    The batch of an update depends on the seed and the number of the update alone.
    """
    generator, per_epoch = torch.Generator().manual_seed(seed), count // batch
    for epoch in itertools.count():
        order = torch.randperm(count, generator=generator)
        first = max(0, start - epoch * per_epoch)
        yield from order[: per_epoch * batch].split(batch)[first:]


class Backprop:
    """Takes `updates` steps of AdamW down a loss, which is a function of a batch of indices.

    `groups` are groups of parameters with their highest rates (`lr`); rates rise over the first tenth of the updates
    and then fall to 0 along a cosine. `generator` is the source of the loss's random numbers. This object and the
    parameters determine the next step; `state` and `load_state` carry it through a checkpoint.

    `recorded` says that the loss neither waits for a GPU nor copies anything to it except the batch. On a GPU the
    step is then a CUDA graph, recorded anew for each value of `key`, the numbers that a recording freezes.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        loss: Callable[[Tensor], Tensor],
        *,
        updates: int,
        weight_decay: float = 0.0,
        generator: torch.Generator,
        recorded: bool = False,
        key: Callable[[], Hashable] = lambda: None,
    ) -> None:
        self.loss, self.updates, self.generator, self.key, self.step = loss, updates, generator, key, 0
        self.parameters = [x for group in groups for x in group["params"]]
        rates = [group["lr"] for group in groups]
        self.device = self.parameters[0].device
        gpu = self.device.type == "cuda"
        if gpu:  # a CUDA graph reads what changes from tensors
            groups = [{**group, "lr": torch.tensor(group["lr"], device=self.device)} for group in groups]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=weight_decay, fused=True, capturable=gpu)
        # The schedule divides by zero if it rises for a single step only.
        rise = max(WARM_UP, 2 / (updates + 1))
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, rates, total_steps=updates + 1, pct_start=rise, cycle_momentum=False
        )
        self.recorded = recorded and gpu
        self.captured = Captured(self._descend, generator=generator)

    def steps(self, batches: Iterable[Tensor]) -> Iterator[float]:
        """Take the remaining steps, one for each batch of indices; yields the loss before each step.

        Raises `Diverged` if a loss, or at the end a parameter, is not finite.
        """
        for batch in itertools.islice(batches, self.updates - self.step):
            if self.recorded:
                (value,) = self.captured(batch.to(self.device), self.key())
            else:
                (value,) = self._descend(batch)
            current = self._finite(value)
            self.schedule.step()
            self.step += 1
            yield current
        self._refuse_divergence()

    def _descend(self, batch: Tensor) -> tuple[Tensor]:
        """Take one step; gradients exist only during it."""
        for parameter in self.parameters:
            parameter.grad = None
        with torch.enable_grad():
            value = self.loss(batch)
            if not self.recorded:
                self._finite(value)
            value.backward()
        self.optimizer.step()
        for parameter in self.parameters:
            parameter.grad = None
        return (value.detach(),)

    def state(self) -> dict[str, Tensor]:
        """All that the next steps depend on except the parameters; `Diverged` if a parameter is not finite."""
        self._refuse_divergence()
        rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        return {
            "step": torch.tensor(self.step),
            "rates": torch.tensor(rates, dtype=torch.float64),
            "generator": self.generator.get_state(),
            **{OPTIMIZER + name: x for name, x in torch_state(self.optimizer).items()},
        }

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""
        own = {name.removeprefix(OPTIMIZER): x for name, x in tensors.items() if name.startswith(OPTIMIZER)}
        load_torch_state(self.optimizer, own)
        self.step = self.schedule.last_epoch = int(tensors["step"])
        for group, rate in zip(self.optimizer.param_groups, tensors["rates"].tolist(), strict=True):
            group["lr"] = torch.full_like(group["lr"], rate) if isinstance(group["lr"], Tensor) else rate
        self.generator.set_state(tensors["generator"])

    def _finite(self, loss: Tensor) -> float:
        if not math.isfinite(value := float(loss.detach())):
            raise Diverged(f"step {self.step}: the loss is {value}; {_REMEDY}")
        return value

    def _refuse_divergence(self) -> None:
        if not all(x.isfinite().all() for x in self.parameters):
            raise Diverged(f"step {self.step}: a parameter is not finite; {_REMEDY}")


_REMEDY = "lower `rate`, or check the pictures"
