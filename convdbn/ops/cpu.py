"""Calls of the C kernels, on float32 and contiguous tensors."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from convdbn.ops.build import library


def usable(x: Tensor) -> bool:
    """Whether the kernels are built, or can be; they take any size."""
    return library() is not None


def logistic(field: Tensor, bias: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor | None]:
    """Means of Bernoulli units, and a draw of them if there is a generator."""
    mean, sample = _results(field, generator)
    batch, units, *place = field.shape
    positions = math.prod(place)
    rows = (batch, units, 0) if positions == 1 else (batch * units, positions, units)
    _call("bernoulli", (field, bias, mean, sample), *rows, _seed(generator))
    return mean, sample


def block_softmax(
    field: Tensor, bias: Tensor, block: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor | None]:
    """Means of probabilistic max-pooling units, and a draw of them if there is a generator."""
    mean, sample = _results(field, generator)
    _call("block_softmax", (field, bias, mean, sample, None), *_blocks(field, block), _seed(generator))
    return mean, sample


def pooling_mean(field: Tensor, bias: Tensor, block: int) -> Tensor:
    """Means of the pooling units, `(B, n, H / block, W / block)`."""
    batch, maps, height, width = field.shape
    pool = field.new_empty(batch, maps, height // block, width // block)
    _call("block_softmax", (field, bias, None, None, pool), *_blocks(field, block), 0)
    return pool


def _blocks(field: Tensor, block: int) -> tuple[int, ...]:
    batch, maps, height, width = field.shape
    return batch * maps, maps, height // block, width // block, block


def fold(columns: Tensor, shape: tuple[int, ...], kernel: tuple[int, int]) -> Tensor:
    """`torch.nn.functional.fold` with stride 1: `(B, channels * kernel, positions)` to pictures of `shape`."""
    columns = columns.contiguous()
    pictures = columns.new_empty(len(columns), *shape)
    _call("fold_columns", (columns, pictures), len(columns), *shape, *kernel)
    return pictures


def _results(field: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor | None]:
    return torch.empty_like(field), None if generator is None else torch.empty_like(field)


def _seed(generator: torch.Generator | None) -> int:
    """Seed of one call's random streams. Successive calls differ; the state of the generator determines them all."""
    return 0 if generator is None else int(torch.randint(2**63 - 1, (), generator=generator))


def _call(name: str, tensors: Sequence[Tensor | None], *numbers: int) -> None:
    kernel = getattr(library(), name)
    kernel(*[None if x is None else x.data_ptr() for x in tensors], *numbers, torch.get_num_threads())
