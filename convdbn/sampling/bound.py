"""Probability of data under a machine or a stack: the variational lower bound, which is exact where inference is."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from convdbn.energy import BoltzmannMachine, Given, Unit
from convdbn.energy.states import check_layer
from convdbn.errors import UsageError
from convdbn.sampling.checks import check_count, checked_generator
from convdbn.sampling.gibbs import mean_field, start


@torch.no_grad()
def unnormalized(machine: BoltzmannMachine, given: Given, *, sweeps: int = 100) -> Tensor:
    """Lower bound of log sum exp(-E) over the layers that are None, `(B,)`; minus log Z, of the log-likelihood.

    The bound of Salakhutdinov and Hinton (2009, section 2.2) at the fixed point of mean field. If q has
    independent units with fields f and means m, their own energies cancel, and the rest holds for every kind of unit:

        sum_links <m, W m> - sum_hidden <f, m> + sum_hidden log_norm(f) - sum_given U(x)

    It is exact for restricted machines, whose hidden layers are independent of each other.

    UsageError if `given` does not fit the machine, or if no layer has a state.

    >>> from convdbn.models.machines import rbm
    >>> machine = rbm(4, 3)
    >>> round(unnormalized(machine, (torch.zeros(1, 4), None)).item(), 4)  # no weights: 3 log 2
    2.0794
    """
    check_count("sweeps", sweeps)
    state = start(machine, given)
    layers = [layer for layer, x in enumerate(given) if x is None]
    deep = any(machine.colors[layer] == 0 for layer in layers)
    clamp = {layer: True for layer, x in enumerate(given) if x is not None}
    if deep:
        state = mean_field(machine, state, sweeps=sweeps, clamp=clamp)
    total: float | Tensor = sum(
        -unit.energy(x) for unit, x in zip(machine.units, given, strict=True) if x is not None
    )
    # Fields and their means once more, one color after the other, so that q belongs to the fields.
    for color in (0, 1):
        fields = {layer: machine.field(state, layer) for layer in layers if machine.colors[layer] == color}
        state = tuple(
            machine.units[layer].mean(fields[layer]) if layer in fields else x for layer, x in enumerate(state)
        )
        for layer, field in fields.items():
            total = total + machine.units[layer].log_norm(field) - (field * state[layer]).flatten(1).sum(1)
    return total - machine.coupling(state)


@torch.no_grad()
def unnormalized_stack(
    machines: Sequence[BoltzmannMachine],
    visible: Tensor,
    *,
    generator: torch.Generator | None = None,
    downward: Sequence[BoltzmannMachine] = (),
) -> Tensor:
    """`unnormalized` for a deep belief network, which generates the layers below the top machine downward, `(B,)`.

    One draw x_l from each q(x_l | x_{l-1}), the recognition of the stack, gives an unbiased estimate of the bound

        E_q [sum_l log p(x_{l-1} | x_l) - log q(x_l | x_{l-1}) + log p*(x_top)]

    of Hinton, Osindero and Teh (2006, equation 11). Minus log Z of the top machine, it is one for log p(v).
    `downward` are the machines that generate the lowest layers, if these are not the machines that infer.

    UsageError without a generator or machines, or if `visible` does not fit the first machine.
    """
    if not machines:
        raise UsageError("machines=[]: a stack has at least one; give them from the lowest")
    check_layer(machines[0].units[0], visible, "visible")
    generator = checked_generator(generator, machines[0])
    total: float | Tensor = 0.0
    x = visible
    for machine, generative in zip(machines[:-1], [*downward, *machines[len(downward) :]], strict=False):
        above = machine.units[1]
        up = machine.field((x, None), 1)
        hidden = above.sample(up, generator=generator)
        down = generative.field((None, hidden), 0)
        total = total + log_density(generative.units[0], down, x) - log_density(above, up, hidden)
        x = hidden
    return total + unnormalized(machines[-1], machines[-1].only(0, x))


@torch.no_grad()
def pseudo_log_likelihood(
    machine: BoltzmannMachine, visible: Tensor, *, generator: torch.Generator | None = None, pixels: int = 0
) -> Tensor:
    """Sum over the pixels of log p(v_i | all others), `(B,)` (Besag 1975), for restricted binary machines.

    log Z cancels, so each pixel costs one free energy. With `pixels`, an estimate of the sum takes this number of
    random pixels from each picture.

    UsageError without a generator, for units that are not binary, or if `visible` does not fit the machine.

    >>> from convdbn.models.machines import rbm
    >>> machine = rbm(4, 3)
    >>> generator = torch.Generator().manual_seed(0)
    >>> round(pseudo_log_likelihood(machine, torch.zeros(1, 4), generator=generator).item(), 4)  # -4 log 2
    -2.7726
    """
    check_layer(machine.units[0], visible, "visible")
    check_count("pixels", pixels, 0)
    generator = checked_generator(generator, machine)
    if not machine.units[0].binary or len(machine.units) > 2:
        raise UsageError(
            f"machine={len(machine.units)} layers over {machine.units[0].kind} units: is no restricted one with "
            "binary pixels; take convdbn.sampling.ais for others"
        )
    flat = visible.flatten(1)
    energy, count = machine.free_energy((visible, None)), flat.shape[1]
    indices = torch.rand(flat.shape, generator=generator, device=flat.device).argsort(1)[:, : pixels or count]
    total = torch.zeros_like(energy)
    for index in indices.T[:, :, None]:
        flipped = flat.scatter(1, index, 1 - flat.gather(1, index)).view_as(visible)
        total = total - F.softplus(energy - machine.free_energy((flipped, None)))
    return total * count / indices.shape[1]


def log_density(unit: Unit, field: Tensor, x: Tensor) -> Tensor:
    """log p(x) of a layer in a field, `(B,)`."""
    return (field * x).flatten(1).sum(1) - unit.energy(x) - unit.log_norm(field)
