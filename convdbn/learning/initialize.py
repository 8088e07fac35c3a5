"""Initial weights and biases."""

import torch
from torch import Tensor
from torch.nn import functional as F

from convdbn.energy import BoltzmannMachine, Link, mean_per_unit
from convdbn.errors import UsageError
from convdbn.learning.labels import given
from convdbn.recipes import LayerSettings

PATCHES = 50_000
"""Maximal number of patches to cluster."""


@torch.no_grad()
def initialize(
    machine: BoltzmannMachine,
    settings: LayerSettings,
    data: Tensor,
    *,
    below: BoltzmannMachine | None = None,
    generator: torch.Generator,
) -> None:
    """Set the weights by `settings.init`, hidden biases to `settings.hidden_bias`, and visible biases from the data:
    without input from other layers, the mean of every visible unit is its mean in `data`, `(B, ...)`.

    `below` is the machine whose hidden layer is visible here, if there is one.
    """
    if settings.init == "transposed":
        return transposed_below(machine, settings, below, generator=generator)
    initialize_weights(machine, settings, data, generator=generator)
    for unit, x in zip(machine.units, given(machine, data), strict=True):
        if x is not None:
            unit.bias.copy_(unit.data_bias(mean_per_unit(x)))


@torch.no_grad()
def initialize_weights(
    machine: BoltzmannMachine, settings: LayerSettings, data: Tensor, *, generator: torch.Generator
) -> None:
    """Set weights of standard deviation `weight_std`, and `hidden_bias`. The weights are noise, or, for those of the
    visible layer, centroids of the patches of `data`."""
    for below, _, link in machine.unique_links:
        if settings.init in ("kmeans", "spherical") and below == 0:
            means = centroids(link, data, spherical=settings.init == "spherical", generator=generator)
            scale = settings.weight_std / means.square().mean(1, keepdim=True).sqrt().clamp(min=1e-12)
            link.weight.copy_((scale * means).view_as(link.weight))
        else:
            link.weight.normal_(0, settings.weight_std, generator=generator)
    for unit in machine.units[1:]:  # label biases will come from the data
        unit.bias.fill_(settings.hidden_bias)


@torch.no_grad()
def transposed_below(
    machine: BoltzmannMachine, settings: LayerSettings, below: BoltzmannMachine | None, *, generator: torch.Generator
) -> None:
    """Set the parameters to those of `below`, transposed (Hinton, Osindero and Teh 2006, section 4).

    The two machines together then model the data exactly as `below` alone, except for additional hidden units, which
    begin as noise. UsageError unless both machines are fully connected and their layers fit.
    """
    old = below.links[0].weight if below is not None else None
    new, (_, hidden, *_) = machine.links[0].weight, machine.units
    if below is None or old is None or old.ndim > 2 or new.ndim > 2 or hidden.n < old.shape[1]:
        raise UsageError(
            "init='transposed': needs a fully connected layer on another, with at least as many hidden units as the "
            "layer below has visible ones; take another init"
        )
    if hidden.kind != below.units[0].kind:
        raise UsageError(
            f"init='transposed': hidden={hidden.kind!r} differs from the {below.units[0].kind} visible units of the "
            "layer below; make them equal"
        )
    initialize_weights(machine, settings, new, generator=generator)
    new[: old.shape[1]] = old.T
    hidden.bias[: old.shape[1]] = below.units[0].bias
    machine.units[0].bias.copy_(below.units[1].bias)


def centroids(link: Link, data: Tensor, *, spherical: bool = False, generator: torch.Generator) -> Tensor:
    """K-means centroids of the patches of `data` that the link's units see, less their mean, `(above, inputs)`.

    Coates, Lee and Ng 2011; Sohn et al. 2011 begin the training of convolutional RBMs with them. Only patches with at
    least the mean norm are used: most pictures are empty in most places. With `spherical` that mean is taken for each
    picture, and patches are normalized, so that pictures of high contrast do not take all centroids. UsageError if
    there are fewer patches than filters.
    """
    from sklearn.cluster import MiniBatchKMeans  # only this option needs it

    count = link.weight.shape[0]
    mean = torch.stack([link.patches(x[None])[0].mean(0) for x in data]).mean(0)
    norms = torch.stack([(link.patches(x[None])[0] - mean).square().sum(1) for x in data])  # (pictures, positions)
    typical = norms.mean(1, keepdim=True) if spherical else norms.mean()
    strong = (norms >= typical).flatten().nonzero()[:, 0]
    if len(strong) < count:
        name = "spherical" if spherical else "kmeans"
        raise UsageError(f"init={name!r}: {len(strong)} patches for {count} filters; take more pictures or fewer")
    order = torch.randperm(len(strong), generator=generator, device=generator.device)[:PATCHES]
    places = strong[order.to(strong.device)]
    picture, position = places // norms.shape[1], places % norms.shape[1]
    patches = data.new_empty(len(places), len(mean))
    for index, x in enumerate(data):  # with many maps, all patches at once would need tens of gigabytes
        here = picture == index
        patches[here] = link.patches(x[None])[0][position[here]] - mean
    patches = F.normalize(patches) if spherical else patches
    seed = int(torch.randint(2**31 - 1, (1,), generator=generator, device=generator.device))
    means = MiniBatchKMeans(count, random_state=seed, n_init=1, batch_size=5000)
    means.fit(patches.cpu().numpy())
    return torch.from_numpy(means.cluster_centers_).to(data)
