"""Checks at the doors of a machine: its states, and whether its units and links fit each other.

The doors are the functions that a user calls. The loops behind them do not check again.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from convdbn.energy.links import Link
from convdbn.energy.units.base import Unit
from convdbn.errors import UsageError

if TYPE_CHECKING:
    from convdbn.energy.machine import BoltzmannMachine


def check_links(units: Sequence[Unit], links: Sequence[tuple[int, int, Link]]) -> None:
    """UsageError for a link whose weight does not have the numbers of units of the layers that it joins."""
    for a, b, link in links:
        above, below = link.weight.shape[:2]
        if (above, below) != (units[b].n, units[a].n):
            raise UsageError(
                f"links=({a}, {b}, {type(link).__name__}): its weight joins {below} units to {above} above, but "
                f"layer {a} has {units[a].n} and layer {b} has {units[b].n}; make link and units of one size"
            )


def check_state(machine: "BoltzmannMachine", state: Any, *, whole: bool = False, name: str = "state") -> None:
    """UsageError unless `state` has a tensor for each layer, `(batch, n)` or `(batch, n, height, width)`, in shapes
    that the links join, and in the precision and on the device of the machine.

    Layers may be None unless the state must be `whole`. The message calls the argument `name`.
    """
    units = machine.units
    if not isinstance(state, tuple | list) or len(state) != len(units):
        actual = f"{len(state)} layers" if isinstance(state, tuple | list) else type(state).__name__
        raise UsageError(f"{name}={actual}: needs one tensor for each of {len(units)} layers; give a tuple of them")
    batch = next((len(x) for x in state if isinstance(x, Tensor) and x.ndim), 0)
    for layer, (unit, x) in enumerate(zip(units, state, strict=True)):
        argument = f"{name}[{layer}]"
        if x is not None:
            check_layer(unit, x, argument)
            if len(x) != batch:
                raise UsageError(
                    f"{argument}={tuple(x.shape)}: has a batch of {len(x)}, a layer before {batch}; give one batch"
                )
        elif whole:
            raise UsageError(
                f"{argument}=None: every layer is needed; fill the others with convdbn.sampling.gibbs.start"
            )
    for (a, b), link in zip(machine.edges, machine.links, strict=True):
        below, above = state[a], state[b]
        if below is None or above is None:
            continue
        shape = link.up_shape(tuple(below.shape[1:]))
        if shape != tuple(above.shape[1:]):
            raise UsageError(
                f"{name}[{b}]={tuple(above.shape)}: over layer {a} of {tuple(below.shape)} it is (batch, "
                f"{', '.join(map(str, shape))}); take the shapes of machine.shapes"
            )


def check_layer(unit: Unit, x: Any, argument: str) -> None:
    """UsageError unless `x` is a state of one layer of such units; the message calls it `argument`."""
    if not isinstance(x, Tensor):
        raise UsageError(f"{argument}={type(x).__name__}: is no tensor; write torch.as_tensor(x)")
    if x.ndim not in (2, 4) or x.shape[1] != unit.n:
        raise UsageError(
            f"{argument}={tuple(x.shape)}: is not (batch, {unit.n}) or (batch, {unit.n}, height, width); "
            "add the batch dimension with x[None], or give the layer's own state"
        )
    if x.dtype != unit.bias.dtype or x.device != unit.bias.device:
        raise UsageError(
            f"{argument}={x.dtype} on {x.device}: the machine is {unit.bias.dtype} on {unit.bias.device}; "
            "write x.to(machine.units[0].bias)"
        )


def check_beta(beta: Any, state: Sequence[Tensor | None]) -> None:
    """UsageError unless `beta` is a number, or a tensor with one for each element of the batch."""
    if isinstance(beta, int | float):
        return
    x = next(x for x in state if x is not None)
    if not isinstance(beta, Tensor) or beta.shape != x.shape[:1] or beta.dtype != x.dtype or beta.device != x.device:
        actual = f"{beta.dtype} {tuple(beta.shape)} on {beta.device}" if isinstance(beta, Tensor) else repr(beta)
        raise UsageError(
            f"beta={actual}: does not fit the state; give a number, or x.new_tensor with {len(x)} values"
        )


def check_number(name: str, value: Any, count: int) -> None:
    """UsageError unless `value` is a number from 0 to `count` - 1, of a layer or a color."""
    if not isinstance(value, int) or not 0 <= value < count:
        raise UsageError(f"{name}={value!r}: the machine has none; take a number from 0 to {count - 1}")
