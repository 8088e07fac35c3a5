"""Learning by backpropagation, for networks that a stack becomes once its layers have been learned."""

import itertools
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from convdbn.errors import Diverged
from convdbn.learning.capture import Captured
from convdbn.learning.optimizer import load_optimizer_state, optimizer_state

WARM_UP = 0.1
"""Share of the updates over which the rates rise."""


def shuffled(count: int, batch: int, *, seed: int, start: int = 0) -> Iterator[Tensor]:
    """Indices of update `start` and those after it: each epoch goes through all whole batches of an order of its own.

    What an update sees is a function of the seed and its number.
    """
    generator, per_epoch = torch.Generator().manual_seed(seed), count // batch
    for epoch in itertools.count():
        order = torch.randperm(count, generator=generator)
        first = max(0, start - epoch * per_epoch)
        yield from order[: per_epoch * batch].split(batch)[first:]


class Descent:
    """`updates` steps of AdamW down a loss.

    `groups` are parameters with the highest rate (`lr`) of each; rates rise over the first tenth of the updates and
    then fall to 0 along a cosine. `generator` is what the loss draws from. Everything that decides the next step is
    in here and in the parameters; `state` and `load_state` carry it through a checkpoint.
    """

    def __init__(
        self, groups: list[dict[str, Any]], *, updates: int, weight_decay: float, generator: torch.Generator
    ) -> None:
        self.updates, self.generator, self.step = updates, generator, 0
        rates = [group["lr"] for group in groups]
        device = groups[0]["params"][0].device
        if device.type == "cuda":  # a CUDA graph reads what changes from tensors
            groups = [{**group, "lr": torch.tensor(group["lr"], device=device)} for group in groups]
        self.optimizer = torch.optim.AdamW(
            groups, weight_decay=weight_decay, fused=True, capturable=device.type == "cuda"
        )
        # The schedule divides by zero where it would rise for a single step.
        rise = max(WARM_UP, 2 / (updates + 1))
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, rates, total_steps=updates + 1, pct_start=rise, cycle_momentum=False
        )

    def steps(
        self,
        batches: Iterable[Tensor],
        loss: Callable[[Tensor], Tensor],
        *,
        recorded: bool = False,
        key: Callable[[], Hashable] = lambda: None,
    ) -> Iterator[float]:
        """Take the steps that are left, one for each batch of indices; the loss before each.

        `recorded` says that the loss neither waits for a GPU nor brings it anything but the batch: there the step is
        then a CUDA graph, made anew for each `key`, the numbers that the loss holds fast. Raises `Diverged` at a
        loss, or parameters in the end, that are not finite.
        """
        parameters = [x for group in self.optimizer.param_groups for x in group["params"]]
        device = parameters[0].device
        recorded = recorded and device.type == "cuda"

        def descend(batch: Tensor) -> tuple[Tensor]:
            for parameter in parameters:
                parameter.grad = None
            value = loss(batch)
            if not recorded:
                self._finite(value)
            value.backward()
            self.optimizer.step()
            return (value.detach(),)

        captured = Captured(descend, generator=self.generator)
        for batch in itertools.islice(batches, self.updates - self.step):
            (value,) = captured(batch.to(device), key()) if recorded else descend(batch)
            current = self._finite(value)
            self.schedule.step()
            self.step += 1
            yield current
        self._refuse_divergence()

    def state(self) -> dict[str, Tensor]:
        """All that the next steps depend on but the parameters; `Diverged` where one of these is not finite."""
        self._refuse_divergence()
        rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        return {
            "step": torch.tensor(self.step),
            "rates": torch.tensor(rates, dtype=torch.float64),
            "generator": self.generator.get_state(),
            **optimizer_state(self.optimizer),
        }

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""
        load_optimizer_state(self.optimizer, tensors)
        self.step = self.schedule.last_epoch = int(tensors["step"])
        for group, rate in zip(self.optimizer.param_groups, tensors["rates"].tolist(), strict=True):
            group["lr"] = torch.full_like(group["lr"], rate) if isinstance(group["lr"], Tensor) else rate
        self.generator.set_state(tensors["generator"])

    def _finite(self, loss: Tensor) -> float:
        if not math.isfinite(value := float(loss.detach())):
            raise Diverged(f"step {self.step}: loss is {value}; {_REMEDY}")
        return value

    def _refuse_divergence(self) -> None:
        if not all(x.isfinite().all() for group in self.optimizer.param_groups for x in group["params"]):
            raise Diverged(f"step {self.step}: a parameter is not finite; {_REMEDY}")


_REMEDY = "lower `rate`, or check the pictures"
