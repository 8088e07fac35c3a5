"""Exact answers for small machines, by enumeration; tests compare everything else with them.

One color of layers is enumerated and the other is summed in closed form, so the other color may have Gaussian layers.
The cost grows with the number of states of the enumerated color.
"""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from convdbn.energy import BoltzmannMachine, Given, State
from convdbn.energy.states import check_layer, check_number
from convdbn.energy.units.base import MOST_STATES
from convdbn.errors import UsageError
from convdbn.sampling.checks import check_count, checked_generator

Shapes = Sequence[tuple[int, ...]]
"""Shape of each layer without the batch, as `BoltzmannMachine.shapes` gives them."""


def states(machine: BoltzmannMachine, shapes: Shapes, layers: Sequence[int]) -> Given:
    """Every joint state of some layers; the other layers are None.

    UsageError for shapes that are not the machine's, for units that are not enumerated, and for too many states.
    """
    _check_shapes(machine, shapes)
    for layer in layers:
        check_number("layers", layer, len(machine.units))
    each = [machine.units[layer].states(tuple(shapes[layer])) for layer in layers]
    count = math.prod(len(x) for x in each)
    if count > MOST_STATES:
        raise UsageError(
            f"layers={[*layers]}: have {count:,} joint states, more than the {MOST_STATES:,} that are enumerated; "
            "estimate with convdbn.sampling.ais"
        )
    index = torch.cartesian_prod(*[torch.arange(len(x)) for x in each]).view(-1, len(layers))
    joint: list[Tensor | None] = [None] * len(machine.units)
    for column, layer in enumerate(layers):
        joint[layer] = each[column][index[:, column]]
    return tuple(joint)


def log_z(machine: BoltzmannMachine, shapes: Shapes, color: int = 1, beta: float = 1.0) -> Tensor:
    """Logarithm of the partition function, by enumerating the layers of `color`.

    >>> from convdbn.models.machines import rbm
    >>> machine = rbm(4, 3)
    >>> round(log_z(machine, machine.shapes((4,))).item(), 4)  # no weights: 7 log 2
    4.852
    """
    check_number("color", color, 2)
    layers = [layer for layer, c in enumerate(machine.colors) if c == color]
    return (-machine.free_energy(states(machine, shapes, layers), color, beta)).logsumexp(0)


def log_likelihood(machine: BoltzmannMachine, visible: Tensor, shapes: Shapes, color: int = 1) -> Tensor:
    """log p(v) of each picture `(B,)`, in nats; differentiable in the machine's parameters.

    `color` is enumerated for the partition function; other layers of the visible color are enumerated, too.

    >>> from convdbn.models.machines import rbm
    >>> machine = rbm(4, 3)
    >>> round(log_likelihood(machine, torch.zeros(1, 4), machine.shapes((4,))).item(), 4)  # -4 log 2
    -2.7726
    """
    check_layer(machine.units[0], visible, "visible")
    others = [layer for layer, c in enumerate(machine.colors) if c == 0 and layer != 0]
    if not others:
        unnormalized = -machine.free_energy(machine.only(0, visible))
    else:
        rest = states(machine, shapes, others)
        count = next(len(x) for x in rest if x is not None)
        paired: list[Tensor | None] = [
            None if x is None else x.repeat(len(visible), *[1] * (x.ndim - 1)) for x in rest
        ]
        paired[0] = visible.repeat_interleave(count, 0)
        unnormalized = (-machine.free_energy(tuple(paired))).view(len(visible), count).logsumexp(1)
    return unnormalized - log_z(machine, shapes, color)


def probabilities(machine: BoltzmannMachine, shapes: Shapes, beta: float = 1.0) -> tuple[State, Tensor]:
    """Every joint state of all layers, and the probability of each `(S,)`; no Gaussian layers."""
    joint = cast(State, states(machine, shapes, range(len(machine.units))))
    return joint, (-machine.energy(joint, beta)).softmax(0)


def sample(
    machine: BoltzmannMachine, shapes: Shapes, count: int, *, generator: torch.Generator | None = None
) -> State:
    """Independent exact draws of whole states, without any Markov chain. UsageError without a generator.

    >>> from convdbn.models.machines import rbm
    >>> machine = rbm(4, 3)
    >>> v, h = sample(machine, machine.shapes((4,)), 10, generator=torch.Generator().manual_seed(0))
    >>> v.shape, h.shape
    (torch.Size([10, 4]), torch.Size([10, 3]))
    """
    check_count("count", count)
    generator = checked_generator(generator, machine)
    joint, p = probabilities(machine, shapes)
    index = torch.multinomial(p, count, replacement=True, generator=generator)
    return tuple(x[index] for x in joint)


def _check_shapes(machine: BoltzmannMachine, shapes: Any) -> None:
    """UsageError unless `shapes` has the shape of every layer, as the links join them."""
    whole = isinstance(shapes, Sequence) and len(shapes) == len(machine.units)
    if not whole or not all(isinstance(shape, Sequence) for shape in shapes):
        raise UsageError(f"shapes={shapes!r}: needs one for each of {len(machine.units)} layers; take machine.shapes")
    correct = machine.shapes(tuple(shapes[0]))
    if [tuple(shape) for shape in shapes] != correct:
        raise UsageError(f"shapes={shapes!r}: the links join {correct}; take machine.shapes of the visible layer")
