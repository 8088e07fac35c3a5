"""Denoising autoencoders: a machine learns to undo corruption, without sampling (Vincent et al. 2008).

The hidden layer takes its mean given a corrupted copy of the data, and the loss is -log p(data | hidden) of the
machine itself. So weights are tied, and the result is an ordinary machine that can be stacked like any other.
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
    mask = torch.rand(data.shape, generator=generator, device=data.device, dtype=data.dtype) >= corruption
    means = hidden.mean(machine.unchecked_field((data * mask, None), 1))
    loss = -log_density(visible, machine.unchecked_field((None, means), 0), data).mean()
    return loss, (data, means.detach())
