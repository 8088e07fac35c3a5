"""Denoising autoencoders: a machine learns to undo damage, without sampling (Vincent et al. 2008).

The hidden layer takes its mean given a damaged copy of the data, and the loss is -log p(data | hidden) of the machine
itself: weights are tied, and what is trained is an ordinary machine that stacks like any other.
"""

import torch
from torch import Tensor

from convdbn.energy import BoltzmannMachine, State
from convdbn.sampling.bound import log_density


def denoising_loss(
    machine: BoltzmannMachine, data: Tensor, *, corruption: float, generator: torch.Generator
) -> tuple[Tensor, State]:
    """Mean loss, differentiable, and the data with the hidden means, which see a share `corruption` of it as 0."""
    visible, hidden = machine.units
    kept = torch.rand(data.shape, generator=generator, device=data.device, dtype=data.dtype) >= corruption
    means = hidden.mean(machine.field((data * kept, None), 1))
    loss = -log_density(visible, machine.field((None, means), 0), data).mean()
    return loss, (data, means.detach())
