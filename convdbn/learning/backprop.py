"""Learning by backpropagation, for networks that a stack becomes once its layers have been learned."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from convdbn.errors import Diverged
from convdbn.learning.checkpoint import load_slots, slots

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
        self.optimizer = torch.optim.AdamW(groups, weight_decay=weight_decay, fused=True)
        rates = [group["lr"] for group in groups]
        # The schedule divides by zero where it would rise for a single step.
        rise = max(WARM_UP, 2 / (updates + 1))
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, rates, total_steps=updates + 1, pct_start=rise, cycle_momentum=False
        )

    def steps(self, batches: Iterable[Tensor], loss: Callable[[Tensor], Tensor]) -> Iterator[float]:
        """Take the steps that are left, one for each batch; the loss before each.

        Raises `Diverged` at a loss, or parameters in the end, that are not finite.
        """
        for batch in itertools.islice(batches, self.updates - self.step):
            value = loss(batch)
            if not math.isfinite(current := float(value.detach())):
                raise Diverged(f"step {self.step}: loss is {current}; {_REMEDY}")
            self.optimizer.zero_grad()
            value.backward()
            self.optimizer.step()
            self.schedule.step()
            self.step += 1
            yield current
        self._refuse_divergence()

    def state(self) -> dict[str, Tensor]:
        """All that the next steps depend on but the parameters; `Diverged` where one of these is not finite."""
        self._refuse_divergence()
        rates = [group["lr"] for group in self.optimizer.param_groups]
        return {
            "step": torch.tensor(self.step),
            "rates": torch.tensor(rates, dtype=torch.float64),
            "generator": self.generator.get_state(),
            **slots(self.optimizer),
        }

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""
        load_slots(self.optimizer, tensors)
        self.step = self.schedule.last_epoch = int(tensors["step"])
        for group, rate in zip(self.optimizer.param_groups, tensors["rates"].tolist(), strict=True):
            group["lr"] = rate
        self.generator.set_state(tensors["generator"])

    def _refuse_divergence(self) -> None:
        if not all(x.isfinite().all() for group in self.optimizer.param_groups for x in group["params"]):
            raise Diverged(f"step {self.step}: a parameter is not finite; {_REMEDY}")


_REMEDY = "lower `rate`, or check the pictures"
