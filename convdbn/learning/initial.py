"""What the weights are before the first update."""

import torch
from torch import Tensor
from torch.nn import functional as F

from convdbn.energy import BoltzmannMachine, Conv, Link
from convdbn.errors import UsageError
from convdbn.recipes import Layer

PATCHES = 50_000
"""Patches that the centroids are sought among."""


@torch.no_grad()
def initialise(machine: BoltzmannMachine, settings: Layer, data: Tensor, *, generator: torch.Generator) -> None:
    """Weights of standard deviation `weight_std`, noise or centroids of patches of `data`, and `hidden_bias`."""
    for link in machine.links:
        if settings.init == "kmeans":
            found = centroids(link, data, generator=generator)
            scale = settings.weight_std / found.square().mean(1, keepdim=True).sqrt().clamp(min=1e-12)
            link.weight.copy_((scale * found).view_as(link.weight))
        else:
            link.weight.normal_(0, settings.weight_std, generator=generator)
    machine.units[1].bias.fill_(settings.hidden_bias)


def centroids(link: Link, data: Tensor, *, generator: torch.Generator) -> Tensor:
    """K-means centroids of what the link's units see of `data`, less their mean, `(above, inputs)`.

    Coates, Lee and Ng 2011; Sohn et al. 2011 begin the training of convolutional RBMs with them. Patches of more than
    the mean norm alone are used: most pictures are empty in most places. UsageError where there are too few.
    """
    from sklearn.cluster import MiniBatchKMeans  # the option alone needs it

    count = link.weight.shape[0]
    patches = F.unfold(data, link.weight.shape[2:]).transpose(1, 2).flatten(0, 1) if isinstance(link, Conv) else data
    patches = patches - patches.mean(0)
    norms = patches.square().sum(1)
    patches = patches[norms >= norms.mean()]
    if len(patches) < count:
        raise UsageError(f"init='kmeans': {len(patches)} patches for {count} filters; take more pictures or fewer")
    chosen = torch.randperm(len(patches), generator=generator, device=generator.device)[:PATCHES]
    seed = int(torch.randint(2**31 - 1, (1,), generator=generator, device=generator.device))
    means = MiniBatchKMeans(count, random_state=seed, n_init=1, batch_size=5000)
    means.fit(patches[chosen.to(patches.device)].cpu().numpy())
    return torch.from_numpy(means.cluster_centers_).to(data)
