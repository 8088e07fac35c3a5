"""Corrupted test pictures, to measure how robust a classifier is."""

import numpy as np
import torch
from torch import Tensor

from convdbn.errors import UsageError
from convdbn.images.base import Batch, Images, View


class Corrupted(View):
    """The same pictures with noise that depends on the picture alone, not on its batch.

    A share `noise` of the pixels becomes uniform in [0, 1]. A rectangle at a random place, which covers a share
    `occlusion` of the picture, becomes 0.
    """

    def __init__(self, images: Images, *, noise: float = 0.0, occlusion: float = 0.0, seed: int = 0) -> None:
        for name, share in (("noise", noise), ("occlusion", occlusion)):
            if not 0 <= share <= 1:
                raise UsageError(f"{name}={share}: must be a share between 0 and 1")
        super().__init__(images)
        self.noise, self.occlusion, self.seed = noise, occlusion, seed

    def _map_batch(self, batch: Batch, indices: Tensor) -> Batch:
        pictures = [self._corrupt(*pair) for pair in zip(batch, indices.tolist(), strict=True)]
        return torch.stack(pictures) if len({picture.shape for picture in pictures}) == 1 else pictures

    def _corrupt(self, picture: Tensor, index: int) -> Tensor:
        random = np.random.default_rng((self.seed, index))
        height, width = picture.shape[1:]
        mask = torch.from_numpy(random.random((height, width)) < self.noise)
        values = torch.from_numpy(random.random((height, width))).to(picture)
        picture = torch.where(mask.to(picture.device), values, picture)
        tall, wide = (round(side * self.occlusion**0.5) for side in (height, width))
        top, left = random.integers(height - tall + 1), random.integers(width - wide + 1)
        picture[:, top : top + tall, left : left + wide] = 0
        return picture
