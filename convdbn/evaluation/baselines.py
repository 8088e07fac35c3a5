"""Baselines for learned features: cheaper features in the same protocol."""

import copy

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor
from torch.nn import functional as F

from convdbn.images import Images, Pipeline
from convdbn.models.stack import Stack

PATCHES = 50_000
"""Number of patches for k-means."""


def with_random_filters(network: Stack, *, seed: int) -> Stack:
    """A copy of the network with white noise of the same scale as filters; biases and transform stay."""
    generator = torch.Generator(next(network.parameters()).device).manual_seed(seed)
    random = copy.deepcopy(network)
    for machine in random.machines:
        for link in machine.links:
            weight: Tensor = link.weight.data
            weight.normal_(0, float(weight.std()), generator=generator)
    return random


class Pixels:
    """The pictures themselves, behind a `transform` that brings them to one size."""

    def __init__(self, transform: Pipeline) -> None:
        self.transform = transform

    def features(self, images: Tensor, *, depth: int = 1) -> list[Tensor]:
        """All values of each picture as one vector, `(B, c * H * W)`."""
        return [self.transform(images).flatten(1)]


class KMeansPatches:
    """Soft "triangle" activations of whitened, contrast-normalized patches (Coates, Lee and Ng 2011, section 3.2).

    Each position gets max(0, mean distance - distance to the centroid) for each of the `centroids`. Pictures first go
    through `transform`; its padding decides how far the patches reach over the border.
    """

    def __init__(self, images: Images, *, centroids: int, size: int, transform: Pipeline, seed: int) -> None:
        self.transform, self.size = transform, size
        columns = self._sample(images, torch.Generator().manual_seed(seed))
        self.mean = columns.mean(0)
        variances, axes = torch.linalg.eigh(torch.cov(columns.T))
        self.whitening = axes / (variances + 0.1).sqrt() @ axes.T
        whitened = ((columns - self.mean) @ self.whitening).numpy()
        means = MiniBatchKMeans(centroids, random_state=seed, n_init=1, batch_size=5000, max_iter=50).fit(whitened)
        self.centroids = torch.from_numpy(means.cluster_centers_.astype(np.float32))

    def features(self, images: Tensor, *, depth: int = 1) -> list[Tensor]:
        """Maps `(B, centroids, H - size + 1, W - size + 1)` of the only layer, for any `depth`."""
        x = self.transform(images)
        patches = self._patches(x).transpose(1, 2)
        whitened = (patches - self.mean) @ self.whitening
        squared = whitened.square().sum(-1, keepdim=True) + self.centroids.square().sum(1)
        distance = (squared - 2 * whitened @ self.centroids.T).clamp(min=0).sqrt()
        triangle = (distance.mean(-1, keepdim=True) - distance).clamp(min=0)
        height, width = (side - self.size + 1 for side in x.shape[2:])
        return [triangle.transpose(1, 2).unflatten(2, (height, width))]

    def _sample(self, images: Images, generator: torch.Generator) -> Tensor:
        """Patches at random places of random pictures of one size, `(PATCHES, c * size * size)`."""
        pictures = torch.randint(len(images), (min(len(images), PATCHES // 10),), generator=generator)
        positions, length = self._of_picture(images, 0).shape
        places = torch.randint(len(pictures) * positions, (PATCHES,), generator=generator)
        columns = torch.empty(PATCHES, length)
        for number, index in enumerate(pictures.tolist()):  # one picture at a time, to save memory
            here = places // positions == number
            columns[here] = self._of_picture(images, index)[places[here] % positions]
        return columns

    def _of_picture(self, images: Images, index: int) -> Tensor:
        """All patches of one picture, `(positions, c * size * size)`."""
        return self._patches(self.transform(images[[index]][0][None]))[0].T

    def _patches(self, x: Tensor) -> Tensor:
        """Contrast-normalized patches of transformed pictures, `(B, c * size * size, positions)`."""
        patches = F.unfold(x, self.size)
        patches = patches - patches.mean(1, keepdim=True)
        return patches / (patches.var(1, keepdim=True) + 10 / 255**2).sqrt()
