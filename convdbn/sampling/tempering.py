"""Parallel tempering: replicas of every chain at several temperatures, which swap places.

beta scales only the links, so a ladder of temperatures is one batch, and replica r of chain c is its row r * C + c.
"""

import torch
from torch import Tensor

from convdbn.energy import BoltzmannMachine, State
from convdbn.energy.states import check_state
from convdbn.errors import UsageError
from convdbn.ops.grad import without_gradients
from convdbn.sampling.checks import check_betas, check_clamp, check_count, checked_generator
from convdbn.sampling.gibbs import Clamp, draw, sweep


def ladder(temperatures: int, *, like: Tensor) -> Tensor:
    """Inverse temperatures from 1 down to 0 in equal steps, `(temperatures,)`, on the device of `like`.

    >>> ladder(3, like=torch.zeros(1))
    tensor([1.0000, 0.5000, 0.0000])
    """
    check_count("temperatures", temperatures)
    return torch.linspace(1, 0, temperatures, device=like.device, dtype=like.dtype)


def replicas(state: State, temperatures: int) -> State:
    """Every chain, once for each temperature.

    >>> replicas((torch.zeros(2, 4),), 5)[0].shape
    torch.Size([10, 4])
    """
    check_count("temperatures", temperatures)
    return tuple(x.repeat(temperatures, *[1] * (x.ndim - 1)) for x in state)


def tempered(
    machine: BoltzmannMachine,
    state: State,
    betas: Tensor,
    sweeps: int,
    *,
    generator: torch.Generator | None = None,
    clamp: Clamp | None = None,
) -> State:
    """`sweeps` sweeps of every replica; after each, replicas may swap, with their two neighbors in turn.

    UsageError without a generator, for arguments that do not fit the machine, or a state not made by `replicas`.
    """
    check_count("sweeps", sweeps, 0)
    check_state(machine, state, whole=True)
    check_betas(betas)
    check_clamp(state, clamp)
    generator = checked_generator(generator, machine)
    if len(state[0]) % len(betas):
        raise UsageError(
            f"state={len(state[0])} rows: are not {len(betas)} replicas of every chain; take replicas(chains, "
            f"{len(betas)})"
        )
    betas = betas.to(state[0])
    for step in range(sweeps):
        state = tempered_sweep(machine, state, betas, generator=generator, odd=step % 2 == 1, clamp=clamp)
    return state


@without_gradients
def tempered_sweep(
    machine: BoltzmannMachine,
    state: State,
    betas: Tensor,
    *,
    generator: torch.Generator,
    odd: bool,
    clamp: Clamp | None = None,
) -> State:
    """A sweep of every replica at its own beta, then one round of swaps between neighboring ones."""
    chains = len(state[0]) // len(betas)
    state = sweep(machine, state, draw(generator), beta=betas.repeat_interleave(chains), clamp=clamp)
    return swap(machine, state, betas, generator=generator, odd=odd)


@without_gradients
def swap(machine: BoltzmannMachine, state: State, betas: Tensor, *, generator: torch.Generator, odd: bool) -> State:
    """Swap replicas (0, 1), (2, 3), ... or, if `odd`, (1, 2), (3, 4), ... of each chain by Metropolis' rule.

    With probability min(1, exp((beta_i - beta_j) (C_i - C_j))), C the coupling, which leaves the joint distribution
    of all replicas as it is (Desjardins et al. 2010).
    """
    chains = len(state[0]) // len(betas)
    coupling = machine.coupling(state).view(-1, chains)
    first = torch.arange(int(odd), len(betas) - 1, 2, device=betas.device)
    warmer = coupling[first] - coupling[first + 1]
    ratio = (betas[first] - betas[first + 1])[:, None] * warmer
    uniform = torch.rand(ratio.shape, generator=generator, device=ratio.device, dtype=ratio.dtype)
    accepted = uniform.log() < ratio
    rows = torch.arange(len(state[0]), device=betas.device).view(-1, chains)
    order = rows.clone()
    order[first] = torch.where(accepted, rows[first + 1], rows[first])
    order[first + 1] = torch.where(accepted, rows[first], rows[first + 1])
    return tuple(x[order.flatten()] for x in state)
