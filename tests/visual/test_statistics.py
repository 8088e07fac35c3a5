"""What is plotted of a model, against other ways to it."""

import copy
import dataclasses

import pytest
import torch

from convdbn.energy import Gaussian
from convdbn.errors import UsageError
from convdbn.images import ArrayImages, build_transform
from convdbn.learning.greedy import train_greedily
from convdbn.models.machines import conv_rbm, rbm
from convdbn.models.stack import Stack
from convdbn.recipes import LayerSettings, Recipe
from convdbn.recipes.geometry import receptive_field
from convdbn.visual import statistics


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def stack_of(*machines, picture, transform=()):
    stack = Stack(build_transform(transform), machines, picture)
    generator = seeded()
    for parameter in stack.parameters():
        parameter.data = 0.5 * torch.randn(parameter.shape, generator=generator)
    return stack


def two_layers(transform=()):
    return stack_of(conv_rbm(1, 3, 3, pool=2), conv_rbm(3, 4, 2, pool=2), picture=(1, 12, 12), transform=transform)


def pictures(n=6, size=(12, 12)):
    return torch.rand(n, 1, *size, generator=seeded(5))


def test_weights_are_those_of_every_layer():
    stack = two_layers()
    found = statistics.weights(stack)
    assert [tuple(x.shape) for x in found] == [(3, 1, 3, 3), (4, 3, 2, 2)]
    assert all(
        torch.equal(x, layer.link.weight) and not x.requires_grad
        for x, layer in zip(found, stack.layers, strict=True)
    )


LAYERS = {
    "sgd": ({"optimizer": "sgd", "momentum": 0.5}, {"optimizer": "sgd"}),
    "adam": ({"optimizer": "adam"}, {"optimizer": "adam"}),
    "real values": ({"visible": "gaussian", "sigma": 0.4, "sigma_end": 0.3}, {}),
    "crops": ({"crop": 8}, {"crop": 5}),
    "together": ({}, {}),
    "persistent": ({"phase": "pcd"}, {"phase": "tempering"}),
}


@pytest.mark.parametrize("name", LAYERS)
class TestUpdates:
    def trained(self, name):
        layers = [
            LayerSettings(filters=n, kernel=kernel, pool=2, updates=3, batch=4, rate=0.01, **own)
            for n, kernel, own in zip((3, 4), (3, 2), LAYERS[name], strict=True)
        ]
        recipe = Recipe(layers=tuple(layers), joint=name == "together")
        images = ArrayImages(pictures())
        return train_greedily(recipe, images), recipe, images

    def test_they_are_small_and_leave_the_model_alone(self, name):
        stack, recipe, images = self.trained(name)
        before = copy.deepcopy(stack.state_dict())
        found = statistics.updates(stack, recipe, images)
        for step, weight in zip(found, statistics.weights(stack), strict=True):
            assert step.shape == weight.shape and step.isfinite().all() and step.any()
            assert float(step.abs().max()) < 0.1
        assert all(torch.equal(x, before[key]) for key, x in stack.state_dict().items())

    def test_they_are_the_same_again(self, name):
        stack, recipe, images = self.trained(name)
        first, again = (statistics.updates(stack, recipe, images) for _ in range(2))
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_an_update_follows_the_rate():
    """Without momentum and with chains that begin at the data, half the rate is half the update, nearly."""
    layer = LayerSettings(
        filters=3, kernel=3, pool=2, rate=1e-6, rate_end=0.0, optimizer="sgd", momentum=0, momentum_end=0
    )
    stack = stack_of(conv_rbm(1, 3, 3, pool=2), picture=(1, 12, 12))
    (full,), (half,) = (
        statistics.updates(stack, Recipe(layers=(dataclasses.replace(layer, rate=rate),)), ArrayImages(pictures()))
        for rate in (1e-3, 5e-4)
    )
    torch.testing.assert_close(half * 2, full, rtol=0.1, atol=1e-5)


def test_updates_of_a_model_that_its_recipe_did_not_train():
    recipe = Recipe(layers=(LayerSettings(filters=3, kernel=3),))
    with pytest.raises(UsageError, match="model: differs from the result of its recipe"):
        statistics.updates(two_layers(), recipe, ArrayImages(pictures()))


class TestActivities:
    @pytest.mark.parametrize("layer", [1, 2])
    def test_against_the_maps(self, layer):
        stack = two_layers()
        images = ArrayImages(pictures(105, (14, 14)))
        maps = stack.features(pictures(105, (14, 14)), depth=layer, sizes="trim")[-1]
        torch.testing.assert_close(statistics.activities(stack, layer, images=images), maps.flatten(2).amax(2))
        torch.testing.assert_close(statistics.probabilities(stack, layer, images=images), maps.flatten())

    def test_of_a_connected_layer(self):
        stack = stack_of(rbm(144, 5), picture=(1, 12, 12))
        found = statistics.activities(stack, 1, images=ArrayImages(pictures()))
        torch.testing.assert_close(found, stack.features(pictures())[0])

    @pytest.mark.parametrize("layer", [0, 3])
    def test_layers_that_are_not_there(self, layer):
        for function in (statistics.activities, statistics.probabilities):
            with pytest.raises(ValueError, match=f"layer={layer}: the model has layers 1 to 2"):
                function(two_layers(), layer, images=ArrayImages(pictures()))


def test_most_active_units_come_first():
    stack = two_layers()
    stack.machines[0].units[1].bias.data = torch.tensor([-3.0, 4.0, 0.0])
    assert statistics.most_active(stack, 1, 2, images=pictures()) == [1, 2]
    connected = stack_of(rbm(144, 4), picture=(1, 12, 12))
    connected.machines[0].links[0].weight.data.zero_()
    connected.machines[0].units[1].bias.data = torch.tensor([0.0, 3.0, -2.0, 1.0])
    assert statistics.most_active(connected, 1, 3, images=pictures()) == [1, 3, 0]


class TestMapsOver:
    @pytest.mark.parametrize("layer", [1, 2])
    def test_a_pooling_unit_covers_the_middle_of_what_it_sees(self, layer):
        """Each pixel of a map is the unit whose place in the picture is nearest, by its receptive field."""
        stack = two_layers()
        images = pictures(2, (24, 20))
        shown, maps = statistics.maps_over(stack, layer, [2, 0], images=images)
        pooled = stack.features(images, depth=layer, sizes="trim")[-1][:, [2, 0]]
        assert shown.shape == (2, 1, *maps.shape[2:]) and maps.shape[:2] == (2, 2)
        pool = stack.geometry[layer - 1].pool
        side, stride = receptive_field(stack.geometry[:layer], 0)
        whole, step = side + (pool - 1) * stride, pool * stride
        for row in range(pooled.shape[2]):
            for column in range(pooled.shape[3]):
                top, left = (index * step + (whole - step) // 2 for index in (row, column))
                part = maps[..., top : top + step, left : left + step]
                assert (part == pooled[..., row : row + 1, column : column + 1]).all()
        assert (maps > 0).sum() == 4 * pooled.shape[2] * pooled.shape[3] * step**2

    def test_pictures_are_those_before_whitening_and_after_padding(self):
        transform = [{"kind": "pad", "size": 3}, {"kind": "local_contrast", "size": 3}]
        stack = stack_of(conv_rbm(Gaussian(1), 3, 3, pool=2), picture=(1, 18, 18), transform=transform)
        images = pictures(2, (12, 12))
        shown, _ = statistics.maps_over(stack, 1, [0], images=images)
        assert torch.equal(shown, torch.nn.functional.pad(images, [3] * 4))

    def test_a_connected_layer_has_none(self):
        stack = stack_of(conv_rbm(Gaussian(1), 2, 3, pool=2), rbm(2 * 5 * 5, 4), picture=(1, 12, 12))
        with pytest.raises(UsageError, match="layer=2: a fully connected layer has no maps"):
            statistics.maps_over(stack, 2, images=pictures())
