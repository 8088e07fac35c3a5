"""Checks at the doors of a machine: its states, and whether its units and links fit each other."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from convdbn.energy.links import Link
from convdbn.energy.units.base import Unit
from convdbn.errors import UsageError


def check_links(units: Sequence[Unit], links: Sequence[tuple[int, int, Link]]) -> None:
    """UsageError for a link whose weight has other numbers of units than the layers that it joins."""
    for a, b, link in links:
        above, below = link.weight.shape[:2]
        if (above, below) != (units[b].n, units[a].n):
            raise UsageError(
                f"links=({a}, {b}, {type(link).__name__}): its weight joins {below} units to {above} above, but "
                f"layer {a} has {units[a].n} and layer {b} has {units[b].n}; make link and units of one size"
            )


def check_state(units: Sequence[Unit], state: Any) -> None:
    """UsageError unless `state` has None or a tensor for each layer, `(batch, n)` or `(batch, n, height, width)`, in
    the precision and on the device of the units."""
    if not isinstance(state, tuple | list) or len(state) != len(units):
        got = f"{len(state)} layers" if isinstance(state, tuple | list) else type(state).__name__
        raise UsageError(f"state={got}: needs one tensor for each of {len(units)} layers; give a tuple of them")
    for layer, (unit, x) in enumerate(zip(units, state, strict=True)):
        if x is None:
            continue
        if not isinstance(x, Tensor):
            raise UsageError(f"state[{layer}]={type(x).__name__}: is no tensor; write torch.as_tensor(x)")
        if x.ndim not in (2, 4) or x.shape[1] != unit.n:
            raise UsageError(
                f"state[{layer}]={tuple(x.shape)}: is not (batch, {unit.n}) or (batch, {unit.n}, height, width); "
                "add the batch dimension with x[None], or give the layer's own state"
            )
        if x.dtype != unit.bias.dtype or x.device != unit.bias.device:
            raise UsageError(
                f"state[{layer}]={x.dtype} on {x.device}: the machine is {unit.bias.dtype} on {unit.bias.device}; "
                "write x.to(machine.units[0].bias)"
            )
