"""Learning by backpropagation, for networks that a stack becomes once its layers have been learned."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from convdbn.errors import Diverged

WARM_UP = 0.1
"""Share of the updates over which the rates rise."""


def shuffled(count: int, batch: int, *, seed: int) -> Iterator[Tensor]:
    """Indices of one update after the other: each epoch goes through all whole batches of an order of its own."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield from torch.randperm(count, generator=generator)[: count // batch * batch].split(batch)


def descend(
    groups: list[dict[str, Any]], loss: Callable[[], Tensor], *, updates: int, weight_decay: float
) -> Iterator[float]:
    """Take `updates` steps of AdamW down a loss, which is computed anew for each; the loss before each step.

    `groups` are parameters with the highest rate (`lr`) of each; rates rise over the first tenth of the updates and
    then fall to 0 along a cosine. Raises `Diverged` at a loss that is not finite.
    """
    optimizer = torch.optim.AdamW(groups, weight_decay=weight_decay, fused=True)
    rates = [group["lr"] for group in groups]
    # The schedule divides by zero where it would rise for a single step.
    rise = max(WARM_UP, 2 / (updates + 1))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rates, total_steps=updates + 1, pct_start=rise, cycle_momentum=False
    )
    for step in range(updates):
        value = loss()
        if not math.isfinite(current := float(value.detach())):
            raise Diverged(f"step {step}: loss is {current}; lower `rate`, or check the pictures")
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        yield current
