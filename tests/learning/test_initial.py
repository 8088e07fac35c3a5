"""Weights before the first update: noise of the stated size, or a mixture of Gaussians."""

import pytest
import torch
from torch.distributions import Normal

from convdbn.errors import UsageError
from convdbn.learning.initial import initialise
from convdbn.models.machines import conv_rbm, rbm
from convdbn.recipes import Layer

SIGMA, TARGET = 0.4, 0.1


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def prototypes(count=3, n=16):
    return 2 * torch.randn(count, n, generator=seeded(1))


def noisy(centres, count=600):
    chosen = torch.arange(count) % len(centres)
    return centres[chosen] + 0.1 * torch.randn(count, centres.shape[1], generator=seeded(2)), chosen


def settings(**options):
    return Layer(**{"visible": "gaussian", "init": "kmeans", "sigma": SIGMA, "target": TARGET, **options})


def test_centroids_are_the_prototypes_and_hidden_units_know_them():
    centres = prototypes()
    data, chosen = noisy(centres)
    # All norms alike, so that none of the patches is left out as empty.
    data = data / data.norm(dim=1, keepdim=True) * 8
    centres = centres / centres.norm(dim=1, keepdim=True) * 8
    machine = rbm(16, 3, gaussian=True)
    machine.units[0].set_scale(SIGMA)
    initialise(machine, settings(filters=3), torch.cat([data, data]), generator=seeded())
    weight = machine.links[0].weight.detach()
    found = torch.cdist(centres, weight).argmin(1)
    assert sorted(found.tolist()) == [0, 1, 2]
    assert (torch.cdist(centres, weight).amin(1) < 0.2).all()
    on = machine.units[1].mean(machine.field((data, None), 1))
    assert (on.argmax(1) == found[chosen]).all() and on.amax(1).min() > 0.5


def test_the_field_is_the_log_odds_under_the_mixture():
    data, _ = noisy(prototypes())
    machine = rbm(16, 3, gaussian=True)
    machine.units[0].set_scale(SIGMA)
    initialise(machine, settings(filters=3), data, generator=seeded())
    weight, bias = machine.links[0].weight.detach(), machine.units[1].bias.detach()
    field = machine.field((data, None), 1).detach() + bias
    with_it = Normal(weight, SIGMA).log_prob(data[:, None]).sum(2)
    without = Normal(0, SIGMA).log_prob(data).sum(1, keepdim=True)
    expected = with_it - without + torch.tensor(TARGET).logit()
    torch.testing.assert_close(field, expected, rtol=1e-3, atol=0.05)


def test_filters_of_a_conv_rbm_come_from_where_there_is_something():
    """Pictures that are empty but for one stroke: no filter is empty."""
    pictures = torch.zeros(60, 1, 20, 20)
    for index, picture in enumerate(pictures):
        picture[0, 3 + index % 10, 4:14] = 1
    machine = conv_rbm(1, 6, 5, gaussian=True)
    initialise(machine, settings(filters=6, kernel=5), pictures, generator=seeded())
    assert machine.links[0].weight.flatten(1).norm(dim=1).min() > 1
    again = conv_rbm(1, 6, 5, gaussian=True)
    initialise(again, settings(filters=6, kernel=5), pictures, generator=seeded())
    assert (again.links[0].weight == machine.links[0].weight).all()


def test_noise_has_the_stated_size():
    machine = rbm(100, 100)
    initialise(machine, Layer(weight_std=0.05, hidden_bias=-2), torch.rand(5, 100), generator=seeded())
    assert float(machine.links[0].weight.detach().std()) == pytest.approx(0.05, rel=0.03)
    assert (machine.units[1].bias == -2).all()


def test_refusals():
    with pytest.raises(UsageError, match="init='kmeans': needs gaussian visibles, not bernoulli"):
        initialise(rbm(16, 3), settings(), torch.rand(50, 16), generator=seeded())
    with pytest.raises(UsageError, match=r"patches for 30 filters"):
        initialise(rbm(16, 30, gaussian=True), settings(), torch.rand(20, 16), generator=seeded())
