"""What the weights are before the first update."""

import torch
from torch import Tensor
from torch.nn import functional as F

from convdbn.energy import BoltzmannMachine, Conv, Gaussian
from convdbn.errors import UsageError
from convdbn.recipes import Layer

PATCHES = 50_000
"""Patches that the centroids are sought among."""


@torch.no_grad()
def initialise(machine: BoltzmannMachine, settings: Layer, data: Tensor, *, generator: torch.Generator) -> None:
    """Weights and hidden biases: noise and `hidden_bias`, or those of a mixture of Gaussians with k-means."""
    if settings.init == "kmeans":
        from_kmeans(machine, data, sigma=settings.sigma, target=settings.target, generator=generator)
        return
    for link in machine.links:
        link.weight.normal_(0, settings.weight_std, generator=generator)
    machine.units[1].bias.fill_(settings.hidden_bias)


def from_kmeans(
    machine: BoltzmannMachine, data: Tensor, *, sigma: float, target: float, generator: torch.Generator
) -> None:
    """The mixture of Gaussians whose means are centroids of patches, as a machine (Sohn et al. 2011, section 3.2).

    A hidden unit's weights are its centroid w, which its reconstruction then is, and its bias is
    log(target / (1 - target)) - |w|^2 / (2 sigma^2), its log-odds under the mixture. Patches of more than the mean
    norm alone are used: most pictures are empty in most places.
    """
    from sklearn.cluster import MiniBatchKMeans  # the option alone needs it

    link, visible, hidden = machine.links[0], machine.units[0], machine.units[1]
    if not isinstance(visible, Gaussian):
        raise UsageError(f"init='kmeans': needs gaussian visibles, not {visible.kind}; take init: normal")
    patches = F.unfold(data, link.weight.shape[2:]).transpose(1, 2).flatten(0, 1) if isinstance(link, Conv) else data
    norms = patches.square().sum(1)
    patches = patches[norms >= norms.mean()]
    if len(patches) < hidden.n:
        raise UsageError(f"init='kmeans': {len(patches)} patches for {hidden.n} filters; take more pictures or fewer")
    chosen = torch.randperm(len(patches), generator=generator, device=generator.device)[:PATCHES]
    seed = int(torch.randint(2**31 - 1, (1,), generator=generator, device=generator.device))
    means = MiniBatchKMeans(hidden.n, random_state=seed, n_init=1, batch_size=5000)
    centroids = means.fit(patches[chosen.to(patches.device)].cpu().numpy()).cluster_centers_
    link.weight.copy_(torch.from_numpy(centroids).view_as(link.weight))
    squared = link.weight.flatten(1).square().sum(1)
    hidden.bias.copy_(torch.tensor(target).logit() - squared / (2 * sigma**2))
