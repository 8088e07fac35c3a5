"""Calls of the Triton kernels, which need Triton (part of PyTorch) and a C compiler."""

import functools
import logging

import torch
from torch import Tensor

log = logging.getLogger(__name__)

TILE = 1024
"""Units in one program of a kernel."""
LARGEST = 2**31 - TILE
"""Offsets have 32 bits; the reference takes larger fields."""


def usable(x: Tensor) -> bool:
    """Whether the kernels run on this tensor's device (they are tried once), and reach all of its elements."""
    return x.numel() < LARGEST and _run_on(x.device)


@functools.cache
def _run_on(device: torch.device) -> bool:
    try:
        logistic(torch.zeros(1, 1, device=device), torch.zeros(1, device=device), torch.Generator(device))
    except Exception as error:  # for any error of Triton, training goes on without it
        log.warning("GPU kernels not built, PyTorch takes their place: %s", str(error).strip().splitlines()[-1])
        return False
    return True


def logistic(field: Tensor, bias: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor | None]:
    """Means of Bernoulli units, and a draw of them if there is a generator."""
    from convdbn.ops.gpu_kernels import bernoulli

    mean, sample, seed = _results(field, generator)
    count = field.numel()
    bernoulli[(-(-count // TILE),)](field, bias, mean, sample, seed, count, len(bias), field[0, 0].numel(), TILE)
    return mean, sample


def block_softmax(
    field: Tensor, bias: Tensor, block: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor | None]:
    """Means of probabilistic max-pooling units, and a draw of them if there is a generator."""
    mean, sample, seed = _results(field, generator)
    _block_softmax(field, bias, block, mean, sample, None, seed)
    return mean, sample


def pooling_mean(field: Tensor, bias: Tensor, block: int) -> Tensor:
    """Means of the pooling units, `(B, n, H / block, W / block)`."""
    pool = field.new_empty(*field.shape[:2], field.shape[2] // block, field.shape[3] // block)
    _block_softmax(field, bias, block, None, None, pool, None)
    return pool


def _block_softmax(field: Tensor, bias: Tensor, block: int, *results: Tensor | None) -> None:
    """`results` are empty tensors for means, draws and sums, and the seed."""
    from convdbn.ops.gpu_kernels import block_softmax

    height, width = field.shape[2] // block, field.shape[3] // block
    count, members = field.numel() // block**2, 1 << (block**2 - 1).bit_length()
    tile = max(1, TILE // members)
    block_softmax[(-(-count // tile),)](field, bias, *results, count, len(bias), height, width, block, members, tile)


def _results(field: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Empty tensors for means and draws, and the seed of the call's random numbers.

    The seed stays on the device, so that every replay of a recorded update draws a new one.
    """
    if generator is None:
        return torch.empty_like(field), None, None
    seed = torch.randint(2**62, (1,), generator=generator, device=field.device)
    return torch.empty_like(field), torch.empty_like(field), seed
