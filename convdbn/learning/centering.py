"""Centering: learning with every unit replaced by its difference from an offset (Montavon and Müller 2012).

A machine whose links see x - o has the energy of an ordinary machine with other biases,

    b_above = b'_above - W o_below        b_below = b'_below - W^T o_above

so centering needs no other machine, only other coordinates for the gradient: the step is computed in (W, b') and
transformed to (W, b) (Melchior, Fischer and Wiskott 2016, section 3). For convolutional links an offset is one number
for each map. W o then sums over the filter, and W^T o over the weights that reach a unit, on average: all of the
filter within large maps, one weight if filter and map have the same size.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from convdbn.energy import BoltzmannMachine, Link, State, mean_per_unit
from convdbn.learning.optimizer import Gradients, Optimizer
from convdbn.ops.grad import without_gradients

SLIDE = 0.01
"""Weight of the latest means in the offsets, which are moving averages."""


class Centering:
    """Offsets from the positive states (`data`), the negative states (`model`), or the mean of the two (`both`)."""

    def __init__(self, source: Literal["data", "model", "both"]) -> None:
        self.source = source
        self.offsets: list[Tensor] | None = None

    @without_gradients
    def step(self, machine: BoltzmannMachine, optimizer: Optimizer, positive: State, negative: State) -> None:
        """The optimizer's step in centered coordinates; its gradients are in ordinary coordinates, and stay so."""
        self._slide(positive, negative)
        assert self.offsets is not None
        offsets = [unit.to_links(o[None])[0] for unit, o in zip(machine.units, self.offsets, strict=True)]
        edges = list(zip(machine.edges, machine.links, strict=True))
        before = [link.weight.clone() for link in machine.links]
        centered = dict(optimizer.gradients)
        for (a, b), link in edges:
            reach = link.reach(positive[a].shape[1:])
            centered[link.weight] = _centered(machine, link, a, b, offsets, reach, centered)
        optimizer.step(centered)
        for ((a, b), link), old in zip(edges, before, strict=True):
            change = torch.sub(link.weight, old, out=old)
            change = change if change.ndim == 2 else change.flatten(2).sum(2)
            if machine.units[b].bias in optimizer.gradients and machine.owner[b] == b:
                machine.units[b].bias.addmv_(change, offsets[a], alpha=-link.copies)
            if machine.units[a].bias in optimizer.gradients and machine.owner[a] == a:
                machine.units[a].bias.addmv_(change.T, offsets[b], alpha=-link.reach(positive[a].shape[1:]))

    def _slide(self, positive: State, negative: State) -> None:
        if self.offsets is None:
            self.offsets = [mean_per_unit(x) for x in positive]
        states = {"data": [positive], "model": [negative], "both": [positive, negative]}[self.source]
        for layer, offset in enumerate(self.offsets):
            means = [mean_per_unit(state[layer]) for state in states]
            offset.lerp_(sum(means[1:], means[0]) / len(means), SLIDE)

    def state(self) -> dict[str, Tensor]:
        """The offset of each layer."""
        return {str(layer): x for layer, x in enumerate(self.offsets or [])}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""
        self.offsets = [tensors[str(layer)] for layer in range(len(tensors))] or None


def _centered(
    machine: BoltzmannMachine,
    link: Link,
    a: int,
    b: int,
    offsets: list[Tensor],
    reach: float,
    gradients: Gradients,
) -> Tensor:
    """The weight's gradient, less the terms of the bias gradients by the chain rule; a bias that does not learn, or
    that belongs to another layer, has no term."""
    below, above = (
        gradients.get(machine.units[layer].bias) if machine.owner[layer] == layer else None for layer in (a, b)
    )
    terms = [] if above is None else [(above * link.copies, offsets[a])]
    terms += [] if below is None else [(offsets[b] * reach, below)]
    gradient = gradients[link.weight]
    if not terms:
        return gradient
    rows, columns = (torch.stack(vectors) for vectors in zip(*terms, strict=True))
    if gradient.ndim == 2:
        return torch.addmm(gradient, rows.T, columns, alpha=-1)  # one pass over the gradient
    return gradient - (rows.T @ columns)[:, :, None, None]
