"""Fused kernels for what stands between the products of an update: in C for the CPU, in Triton for NVIDIA GPUs.

Units and links ask `usable` and call these by themselves; everywhere else (no compiler, another device or precision,
gradients wanted) their own PyTorch code runs, which is the reference. Results agree to rounding, draws have the same
distribution but are not the same numbers. `CONVDBN_FAST=0` in the environment leaves the kernels out.
"""

import os
from types import ModuleType

import torch
from torch import Tensor

from convdbn.ops import cpu, gpu
from convdbn.ops.cpu import fold

__all__ = ["block_softmax", "fold", "logistic", "pooling_mean", "usable"]

enabled = os.environ.get("CONVDBN_FAST", "1") != "0"


def usable(x: Tensor) -> bool:
    """Whether the kernels can take this tensor: float32, no gradient wanted, built for where it lies."""
    return (
        enabled
        and x.dtype == torch.float32
        and not torch.is_grad_enabled()
        and x.numel() > 0
        and (x.is_cpu or x.is_cuda)
        and _kernels_for(x).usable(x)
    )


def logistic(field: Tensor, bias: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Means of Bernoulli units, and a draw of them; without a generator the second result is the first."""
    mean, sample = _kernels_for(field).logistic(field.contiguous(), bias.contiguous(), generator)
    return mean, mean if sample is None else sample


def block_softmax(
    field: Tensor, bias: Tensor, block: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Means of probabilistic max-pooling units, and a draw of them; without a generator the second is the first."""
    mean, sample = _kernels_for(field).block_softmax(field.contiguous(), bias.contiguous(), block, generator)
    return mean, mean if sample is None else sample


def pooling_mean(field: Tensor, bias: Tensor, block: int) -> Tensor:
    """Means of the pooling units of `block_softmax`, `(B, n, H / block, W / block)`."""
    return _kernels_for(field).pooling_mean(field.contiguous(), bias.contiguous(), block)


def _kernels_for(x: Tensor) -> ModuleType:
    return cpu if x.is_cpu else gpu
