"""Checks at the doors of sampling: generators, counts, clamps and temperatures."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from convdbn.energy import BoltzmannMachine, State
from convdbn.errors import UsageError


def checked_generator(generator: Any, machine: BoltzmannMachine) -> torch.Generator:
    """The generator; UsageError if there is none, or if it is not on the device of the machine."""
    device = machine.units[0].bias.device.type
    if not isinstance(generator, torch.Generator) or generator.device.type != device:
        actual = generator.device if isinstance(generator, torch.Generator) else repr(generator)
        raise UsageError(
            f"generator={actual}: the draws need one on {device}; give torch.Generator({device!r}).manual_seed(0)"
        )
    return generator


def check_count(name: str, value: Any, least: int = 1) -> None:
    """UsageError unless `value` is a whole number that is not below `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UsageError(f"{name}={value!r}: is no such number; take a whole number from {least} up")


def check_clamp(state: State, clamp: Any) -> None:
    """UsageError unless `clamp` has True, False or a mask for layers of the state."""
    if clamp is None:
        return
    if not isinstance(clamp, Mapping):
        raise UsageError(f"clamp={type(clamp).__name__}: is no mapping; write {{0: True}} to keep layer 0")
    for layer, mask in clamp.items():
        if not isinstance(layer, int) or not 0 <= layer < len(state):
            raise UsageError(f"clamp={layer!r}: is no layer; take numbers from 0 to {len(state) - 1}")
        if isinstance(mask, bool):
            continue
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
            actual = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
            raise UsageError(f"clamp[{layer}]={actual}: is no mask; give True, or a tensor of torch.bool")
        x = state[layer]
        if not _spreads(mask, x):
            raise UsageError(
                f"clamp[{layer}]={tuple(mask.shape)} on {mask.device}: the layer is {tuple(x.shape)} on {x.device}; "
                "give a mask in its shape"
            )


def check_betas(betas: Any) -> None:
    """UsageError unless `betas` are inverse temperatures in a tensor, one after the other."""
    if not isinstance(betas, Tensor) or betas.ndim != 1 or not len(betas) or not betas.is_floating_point():
        actual = f"{betas.dtype} {tuple(betas.shape)}" if isinstance(betas, Tensor) else type(betas).__name__
        raise UsageError(f"betas={actual}: are no inverse temperatures; give a tensor, as ladder and schedule do")


def _spreads(mask: Tensor, x: Tensor) -> bool:
    """Whether the mask reaches every unit of x by broadcasting."""
    pairs = zip(reversed(mask.shape), reversed(x.shape), strict=False)
    return mask.device == x.device and mask.ndim <= x.ndim and all(side in (1, whole) for side, whole in pairs)
