"""Fused kernels for the CPU in C, built by the user's own compiler where there is one.

Units and links ask `usable` and call these by themselves; everywhere else (no compiler, another device or precision,
gradients wanted) their own PyTorch code runs, which is the reference. Results agree to rounding, draws have the same
distribution but are not the same numbers. `CONVDBN_FAST=0` in the environment leaves the kernels out.
"""

import os
from typing import Any

import torch
from torch import Tensor

from convdbn.fast.build import library

enabled = os.environ.get("CONVDBN_FAST", "1") != "0"


def usable(x: Tensor) -> bool:
    """Whether the kernels can take this tensor: float32 on the CPU, no gradient wanted, library built."""
    return (
        enabled
        and x.is_cpu
        and x.dtype == torch.float32
        and not torch.is_grad_enabled()
        and x.numel() > 0
        and library() is not None
    )


def logistic(field: Tensor, bias: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Means of Bernoulli units, and a draw of them; without a generator the second result is the first."""
    field = field.contiguous()
    mean, sample = _results(field, generator)
    positions = field[0, 0].numel()
    rows, length, units = (
        (len(field), field.shape[1], 0)
        if positions == 1
        else (len(field) * field.shape[1], positions, field.shape[1])
    )
    _call("bernoulli", field, bias.contiguous(), mean, sample, rows, length, units, _seed(generator))
    return mean, mean if sample is None else sample


def block_softmax(
    field: Tensor, bias: Tensor, block: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Means of probabilistic max-pooling units, and a draw of them; without a generator the second is the first."""
    field = field.contiguous()
    mean, sample = _results(field, generator)
    _call("block_softmax", field, bias.contiguous(), mean, sample, None, *_blocks(field, block), _seed(generator))
    return mean, mean if sample is None else sample


def pooling_mean(field: Tensor, bias: Tensor, block: int) -> Tensor:
    """Means of the pooling units of `block_softmax`, `(B, n, H / block, W / block)`."""
    field = field.contiguous()
    batch, maps, height, width = field.shape
    pool = field.new_empty(batch, maps, height // block, width // block)
    _call("block_softmax", field, bias.contiguous(), None, None, pool, *_blocks(field, block), 0)
    return pool


def _blocks(field: Tensor, block: int) -> tuple[int, ...]:
    batch, maps, height, width = field.shape
    return batch * maps, maps, height // block, width // block, block


def fold(columns: Tensor, shape: tuple[int, ...], kernel: tuple[int, int]) -> Tensor:
    """`torch.nn.functional.fold` with stride 1: `(B, channels * kernel, positions)` to pictures of `shape`."""
    columns = columns.contiguous()
    pictures = columns.new_empty(len(columns), *shape)
    _call("fold_columns", columns, pictures, len(columns), *shape, *kernel)
    return pictures


def _results(field: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor | None]:
    return torch.empty_like(field), None if generator is None else torch.empty_like(field)


def _seed(generator: torch.Generator | None) -> int:
    """Seed of one call's random streams: successive calls differ, and the generator's state decides them all."""
    return 0 if generator is None else int(torch.randint(2**63 - 1, (), generator=generator))


def _call(name: str, *arguments: Any) -> None:
    kernel = getattr(library(), name)
    kernel(*[x.data_ptr() if isinstance(x, Tensor) else x for x in arguments], torch.get_num_threads())
