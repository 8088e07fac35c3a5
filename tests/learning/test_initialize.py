"""Weights before the first update: of the stated size, noise or centroids of patches."""

import pytest
import torch

from convdbn.energy import Gaussian
from convdbn.errors import UsageError
from convdbn.learning.initialize import initialize, transposed_below
from convdbn.models.machines import conv_rbm, rbm
from convdbn.recipes import LayerSettings
from convdbn.sampling import exact
from convdbn.sampling.bound import unnormalized_stack


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def settings(**options):
    return LayerSettings(**{"init": "kmeans", "weight_std": 0.1, "hidden_bias": -2, **options})


def test_filters_point_to_the_prototypes_of_the_data():
    prototypes = torch.randn(3, 16, generator=seeded(1))
    prototypes = prototypes / prototypes.norm(dim=1, keepdim=True)
    data = prototypes[torch.arange(900) % 3] + 0.02 * torch.randn(900, 16, generator=seeded(2))
    machine = rbm(Gaussian(16), 3)
    # Empty data beside them is left out; what is common to all is taken away.
    initialize(machine, settings(), torch.cat([data, torch.zeros(50, 16)]) + 5, generator=seeded())
    weight = machine.links[0].weight.detach()
    centered = prototypes - torch.cat([data, torch.zeros(50, 16)]).mean(0)
    cosine = torch.cosine_similarity(weight[:, None], centered[None], dim=2)
    assert sorted(cosine.argmax(1).tolist()) == [0, 1, 2] and (cosine.amax(1) > 0.99).all()
    torch.testing.assert_close(weight.square().mean(1).sqrt(), torch.full((3,), 0.1))
    assert (machine.units[1].bias == -2).all()


def test_filters_of_a_conv_rbm_come_from_where_there_is_something():
    """Pictures that are empty but for one stroke: no filter is empty."""
    pictures = torch.zeros(60, 1, 20, 20)
    for index, picture in enumerate(pictures):
        picture[0, 3 + index % 10, 4:14] = 1
    machine = conv_rbm(Gaussian(1), 6, 5)
    initialize(machine, settings(), pictures, generator=seeded())
    weight = machine.links[0].weight.detach()[:, 0]
    assert (weight.amax((1, 2)) > 2 * weight.square().mean((1, 2)).sqrt()).all()  # a stroke, not a shade
    again = conv_rbm(Gaussian(1), 6, 5)
    initialize(again, settings(), pictures, generator=seeded())
    assert (again.links[0].weight == machine.links[0].weight).all()


@pytest.mark.parametrize(("init", "kinds"), [("kmeans", {True}), ("spherical", {True, False})])
def test_faint_pictures_have_filters_beside_strong_ones(init, kinds):
    """Strong horizontal and faint vertical strokes: centroids of one length are of both kinds."""
    pictures = torch.zeros(80, 1, 20, 20)
    for index, picture in enumerate(pictures):
        if index % 2:
            picture[0, 3 + index % 13] = 1
        else:
            picture[0, :, 3 + index % 13] = 0.1
    machine = conv_rbm(Gaussian(1), 6, 5)
    initialize(machine, settings(init=init), pictures, generator=seeded())
    weight = machine.links[0].weight.detach()[:, 0]
    across, down = (weight.mean(axis).var(1) for axis in (2, 1))  # of rows, of columns
    assert set((across > down).tolist()) == kinds


def test_noise_has_the_stated_size():
    machine = rbm(100, 100)
    initialize(machine, LayerSettings(weight_std=0.05, hidden_bias=-2), torch.rand(5, 100), generator=seeded())
    assert float(machine.links[0].weight.detach().std()) == pytest.approx(0.05, rel=0.03)
    assert (machine.units[1].bias == -2).all()


def test_too_few_patches_are_refused():
    with pytest.raises(UsageError, match=r"init='kmeans': \d+ patches for 30 filters"):
        initialize(rbm(16, 30), settings(), torch.rand(20, 16), generator=seeded())


def test_a_machine_that_begins_turned_round_says_what_the_one_below_said():
    """Every draw of the bound of the two is the exact log-likelihood of the first, hidden units in excess or not."""
    below, generator = rbm(4, 3), seeded(5)
    with torch.no_grad():
        for parameter in below.parameters():
            parameter.normal_(generator=generator)
    visible = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4)
    wanted = exact.log_likelihood(below, visible, below.shapes((4,)))
    for hidden in (4, 6):
        above = rbm(3, hidden)
        transposed_below(above, LayerSettings(init="transposed", weight_std=1e-6), below, generator=generator)
        log_z = exact.log_z(above, above.shapes((3,)))
        for _ in range(3):
            found = unnormalized_stack([below, above], visible, generator=generator) - log_z
            torch.testing.assert_close(found, wanted.to(found), atol=2e-5, rtol=0)


def test_turning_round_asks_for_layers_that_fit():
    for above, below in ((rbm(3, 2), rbm(4, 3)), (rbm(3, 4), None), (rbm(3, 4), rbm(Gaussian(4), 3))):
        with pytest.raises(UsageError, match="transposed"):
            transposed_below(above, LayerSettings(init="transposed"), below, generator=seeded())
