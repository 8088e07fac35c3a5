"""Zeros and ones from probabilities."""

import torch
from torch import Tensor


def draw_bits(probabilities: Tensor, *, generator: torch.Generator) -> Tensor:
    """Zeros and ones with these probabilities of a one, drawn on the device of the generator."""
    p = probabilities
    return torch.rand(p.shape, generator=generator, device=generator.device, dtype=p.dtype).to(p.device).lt_(p)
