"""Random distortions, under which a labeled picture keeps its label."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

SHIFT, ROTATION, STRETCH, SHEAR, ELASTIC = 0.07, 12.0, 0.1, 0.15, 0.05
"""Ranges at strength 1: shift in sides of the picture, turn in degrees, stretch and shear as ratios, and local
displacement in sides of the picture (Simard, Steinkraus and Platt 2003)."""
KNOTS = 5
"""Displacements along each side between which the local ones are interpolated."""


def distorted(pictures: Tensor, strength: float, *, mirror: bool = False, generator: torch.Generator) -> Tensor:
    """Every picture of `(B, c, H, W)` under a random affine map and a smooth local displacement of its own.

    `strength` multiplies the ranges of all of them; 0 leaves the pictures as they are. With `mirror` every other
    picture, by chance, is flipped left to right. What comes in from outside is 0.
    """
    count = len(pictures)

    def uniform(*shape: int) -> Tensor:
        drawn = torch.rand(*shape, generator=generator, device=generator.device) * 2 - 1
        return strength * drawn.to(pictures)

    if mirror:
        flipped = torch.rand(count, generator=generator, device=generator.device).to(pictures) < 0.5
        pictures = torch.where(flipped[:, None, None, None], pictures.flip(-1), pictures)
    if strength == 0:
        return pictures
    angle = math.radians(ROTATION) * uniform(count)
    across, along = 1 + STRETCH * uniform(2, count)
    maps = torch.stack(
        [
            torch.stack([angle.cos() * across, SHEAR * uniform(count) - angle.sin(), 2 * SHIFT * uniform(count)], 1),
            torch.stack([angle.sin(), angle.cos() * along, 2 * SHIFT * uniform(count)], 1),
        ],
        1,
    )
    grid = F.affine_grid(maps, list(pictures.shape), align_corners=False)
    local = F.interpolate(2 * ELASTIC * uniform(count, 2, KNOTS, KNOTS), pictures.shape[2:], mode="bicubic")
    return F.grid_sample(pictures, grid + local.permute(0, 2, 3, 1), align_corners=False)
