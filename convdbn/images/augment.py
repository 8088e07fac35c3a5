"""Data augmentation: crops, mirror images and random distortions."""

import math
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from convdbn.errors import DataError
from convdbn.images.base import Batch, View

SHIFT, ROTATION, STRETCH, SHEAR, ELASTIC = 0.07, 12.0, 0.1, 0.15, 0.05
"""Ranges at strength 1: shift in sides of the picture, rotation in degrees, stretch and shear as ratios, and local
displacement in sides of the picture (Simard, Steinkraus and Platt 2003)."""
KNOTS = 5
"""Random displacements along each side; those of the pixels are interpolated between them."""


def distorted(pictures: Tensor, strength: float, *, mirror: bool = False, generator: torch.Generator) -> Tensor:
    """Every picture of `(B, c, H, W)` under a random affine map and a smooth local displacement of its own.

    `strength` multiplies all ranges; 0 leaves the pictures as they are. With `mirror` each picture is flipped left to
    right with probability 1/2. Pixels from outside the picture are 0.
    """
    count = len(pictures)

    def uniform(*shape: int) -> Tensor:
        values = torch.rand(*shape, generator=generator, device=generator.device) * 2 - 1
        return strength * values.to(pictures)

    if mirror:
        flip = torch.rand(count, generator=generator, device=generator.device).to(pictures) < 0.5
        pictures = torch.where(flip[:, None, None, None], pictures.flip(-1), pictures)
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


def random_crops(batch: Batch, size: int | tuple[int, int], *, stride: int = 1, generator: torch.Generator) -> Tensor:
    """One crop of each picture, `(B, c, height, width)`; all positions at multiples of `stride` are equally likely.

    `batch` is a batch of `Images`; `size` is a side or (height, width), in pixels. DataError if a picture is smaller.
    """
    height, width = (size, size) if isinstance(size, int) else size
    draws = torch.rand(len(batch), 2, dtype=torch.float64, device=generator.device, generator=generator).tolist()
    crops = []
    for i, (picture, (down, right)) in enumerate(zip(batch, draws, strict=True)):
        h, w = picture.shape[-2:]
        if h < height or w < width:
            raise DataError(
                f"size={height}x{width}: the crop does not fit picture {i} of the batch, which is {h}x{w}; "
                "crop less, leave the picture out, or enlarge it with Resize"
            )
        top, left = (
            stride * int(share * (room // stride + 1)) for share, room in ((down, h - height), (right, w - width))
        )
        crops.append(picture[:, top : top + height, left : left + width])
    return torch.stack(crops)


class Mirrored(View):
    """Twice the pictures: the second half is the first flipped left to right."""

    @cached_property
    def labels(self) -> Tensor | None:  # type: ignore[override]
        return None if self.images.labels is None else self.images.labels.repeat(2)

    def __len__(self) -> int:
        return 2 * len(self.images)

    def _source(self, indices: Tensor) -> Tensor:
        return indices % len(self.images)

    def _map_batch(self, batch: Batch, indices: Tensor) -> Batch:
        flips = indices >= len(self.images)
        if isinstance(batch, Tensor):
            return torch.where(flips.to(batch.device)[:, None, None, None], batch.flip(-1), batch)
        return [picture.flip(-1) if flip else picture for picture, flip in zip(batch, flips, strict=True)]
