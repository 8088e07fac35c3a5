"""The operations between the matrix products of an update, each by a kernel if there is one.

The kernels, in C for the CPU and in Triton for NVIDIA GPUs, pass over memory once. Otherwise (no compiler, another
device or precision, gradients recorded) `reference` runs the same operation in plain PyTorch. Results agree to
rounding; draws have the same distribution but are not the same numbers. `CONVDBN_FAST=0` in the environment switches
the kernels off.
"""

import os
from types import ModuleType

import torch
from torch import Tensor

from convdbn.ops import cpu, gpu, reference
from convdbn.ops.blocks import pooled, spread

__all__ = [
    "block_softmax_draw", "block_softmax_mean", "fold", "logistic_draw", "logistic_mean", "pooled", "pooling_mean",
    "spread",
]  # fmt: skip

enabled = os.environ.get("CONVDBN_FAST", "1") != "0"


def logistic_mean(field: Tensor, bias: Tensor) -> Tensor:
    """Means of Bernoulli units, in the shape of the field `(B, n, ...)`.

    >>> logistic_mean(torch.zeros(1, 2), torch.zeros(2))
    tensor([[0.5000, 0.5000]])
    """
    if usable(field):
        mean: Tensor = _kernels_for(field).logistic(field.contiguous(), bias.contiguous(), None)[0]
        return mean
    return reference.logistic_mean(field, bias)


def logistic_draw(field: Tensor, bias: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Means of Bernoulli units and a draw, each in the shape of the field."""
    if usable(field):
        both: tuple[Tensor, Tensor] = _kernels_for(field).logistic(field.contiguous(), bias.contiguous(), generator)
        return both
    return reference.logistic_draw(field, bias, generator)


def block_softmax_mean(field: Tensor, bias: Tensor, block: int) -> Tensor:
    """Means of units of which at most one is on in each block (Lee et al. 2009, section 3.3).

    >>> block_softmax_mean(torch.zeros(1, 1, 2, 2), torch.zeros(1), 2)
    tensor([[[[0.2000, 0.2000],
              [0.2000, 0.2000]]]])
    """
    if usable(field):
        kernels = _kernels_for(field)
        mean: Tensor = kernels.block_softmax(field.contiguous(), bias.contiguous(), block, None)[0]
        return mean
    return reference.block_softmax_mean(field, bias, block)


def block_softmax_draw(field: Tensor, bias: Tensor, block: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Means of units of which at most one is on in each block, and a draw, each in the shape of the field."""
    if usable(field):
        kernels = _kernels_for(field)
        both: tuple[Tensor, Tensor] = kernels.block_softmax(field.contiguous(), bias.contiguous(), block, generator)
        return both
    return reference.block_softmax_draw(field, bias, block, generator)


def pooling_mean(field: Tensor, bias: Tensor, block: int) -> Tensor:
    """Probability that a unit of the block is on, `(B, n, H / block, W / block)`.

    >>> pooling_mean(torch.zeros(1, 1, 2, 2), torch.zeros(1), 2)
    tensor([[[[0.8000]]]])
    """
    if usable(field):
        mean: Tensor = _kernels_for(field).pooling_mean(field.contiguous(), bias.contiguous(), block)
        return mean
    return reference.pooling_mean(field, bias, block)


def fold(columns: Tensor, shape: tuple[int, int, int], kernel: tuple[int, int]) -> Tensor:
    """Pictures of `shape`, to which columns `(B, channels * kernel, positions)` are added at stride 1.

    This is the second half of a transposed convolution; a matrix product is the first.
    """
    if columns.is_cpu and usable(columns):
        return cpu.fold(columns, shape, kernel)
    return reference.fold(columns, shape, kernel)


def usable(x: Tensor) -> bool:
    """Whether the kernels can take this tensor: float32, without gradients, on a device that has kernels."""
    return (
        enabled
        and x.dtype == torch.float32
        and not torch.is_grad_enabled()
        and x.numel() > 0
        and (x.is_cpu or x.is_cuda)
        and bool(_kernels_for(x).usable(x))
    )


def _kernels_for(x: Tensor) -> ModuleType:
    return cpu if x.is_cpu else gpu
