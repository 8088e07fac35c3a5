"""Up and down through stacks and deep machines: what a unit sees and what a state means, reached by other ways."""

import pytest
import torch

from convdbn.energy import Conv
from convdbn.images import build_transform
from convdbn.models.machines import conv_dbm, conv_rbm, dbm, rbm
from convdbn.models.passes import as_maps, downward, spread_over_blocks, upward
from convdbn.models.stack import Stack
from convdbn.recipes.geometry import receptive_field
from convdbn.sampling.exact import states
from convdbn.sampling.gibbs import mode


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def stack_of(*machines, picture, scale=0.5):
    """Random parameters in float64, biases too."""
    stack = Stack(build_transform([]), machines, picture).double()
    generator = seeded()
    for parameter in stack.parameters():
        parameter.data = scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return stack


STACKS = {
    "one layer": lambda: stack_of(conv_rbm(2, 3, (3, 2), pool=2), picture=(2, 8, 9)),
    "blocks of 2 and 3": lambda: stack_of(conv_rbm(1, 3, 3, pool=2), conv_rbm(3, 2, 2, pool=3), picture=(1, 16, 10)),
    "not square": lambda: stack_of(
        conv_rbm(1, 2, (2, 4), pool=3), conv_rbm(2, 3, (3, 1), pool=1), picture=(1, 16, 15)
    ),
    "three layers": lambda: stack_of(
        conv_rbm(1, 2, 2, pool=2), conv_rbm(2, 2, (1, 2), pool=2), conv_rbm(2, 2, 2, pool=1), picture=(1, 13, 15)
    ),
    "deep machine": lambda: stack_of(conv_dbm(1, [2, 3], [3, 2], [2, 1]), picture=(1, 8, 10)),
    "deep on top": lambda: stack_of(
        conv_rbm(1, 2, 2, pool=2), conv_dbm(2, [2, 2], [(2, 1), 2], [2, 1]), picture=(1, 11, 17)
    ),
}


@pytest.mark.parametrize("name", STACKS)
def test_a_unit_sees_its_receptive_field_and_nothing_else(name):
    """Every pixel of the picture is moved in turn: exactly those inside change the unit's field."""
    stack = STACKS[name]()
    channels, height, width = stack.picture
    pixels = height * width
    x = torch.rand(1, channels, height, width, generator=seeded(1), dtype=torch.float64)
    moved = x.repeat(pixels, 1, 1, 1)
    moved.view(pixels, channels, pixels)[torch.arange(pixels), :, torch.arange(pixels)] += 0.5
    with torch.no_grad():
        here, there = upward(stack, x, len(stack.layers)), upward(stack, moved, len(stack.layers))
    for layer, (field, other) in enumerate(zip(here, there, strict=True), start=1):
        changed = ((other - field).abs() > 1e-12).any(1).view(height, width, *field.shape[2:])
        (tall, down), (wide, right) = (receptive_field(stack.geometry[:layer], axis) for axis in (0, 1))
        for row in range(field.shape[2]):
            for column in range(field.shape[3]):
                expected = torch.zeros(height, width, dtype=torch.bool)
                expected[row * down : row * down + tall, column * right : column * right + wide] = True
                assert torch.equal(changed[..., row, column], expected), (layer, row, column)


@pytest.mark.parametrize("name", ["one layer", "blocks of 2 and 3", "not square", "three layers"])
def test_upwards_it_is_what_features_are_made_of(name):
    stack = STACKS[name]()
    images = torch.rand(3, *stack.picture, generator=seeded(1), dtype=torch.float64)
    fields = upward(stack, stack.prepare(images), len(stack.layers))
    for layer, field, maps in zip(stack.layers, fields, stack.features(images), strict=True):
        torch.testing.assert_close(layer.unit.pooling_mean(field), maps)


def test_upwards_through_connected_layers_on_convolutional_ones():
    stack = stack_of(conv_rbm(1, 3, 3, pool=2), rbm(3 * 2 * 4, 5), rbm(5, 2), picture=(1, 6, 10))
    images = torch.rand(3, 1, 6, 10, generator=seeded(1), dtype=torch.float64)
    fields = upward(stack, stack.prepare(images), 3)
    for layer, field, maps in zip(stack.layers, fields, stack.features(images), strict=True):
        torch.testing.assert_close(layer.unit.pooling_mean(field), maps)


def test_upwards_in_a_deep_machine_nothing_comes_from_above():
    stack = STACKS["deep machine"]()
    x = torch.rand(2, *stack.picture, generator=seeded(1), dtype=torch.float64)
    lower, upper = stack.machines[0].links
    alone = stack.machines[0].units[1].mean(lower.up(x))
    fields = upward(stack, x, 2)
    torch.testing.assert_close(fields[0], lower.up(x))
    torch.testing.assert_close(fields[1], upper.up(alone))


def test_upwards_it_is_differentiable():
    stack = STACKS["blocks of 2 and 3"]()
    x = torch.rand(1, *stack.picture, generator=seeded(1), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: upward(stack, x, 2)[-1].sum(), (x,))


@pytest.mark.parametrize("shape", ["dense", "conv"])
def test_downwards_one_layer_is_the_exact_mean(shape):
    """E[v | h] by enumeration of the visible layer."""
    if shape == "dense":
        stack = stack_of(rbm(6, 3), picture=(1, 2, 3))
        hidden = torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1]]).double()
    else:
        stack = stack_of(conv_rbm(1, 2, 2, pool=2), picture=(1, 3, 3))
        hidden = torch.zeros(2, 2, 2, 2).double()
        hidden[0, 0, 0, 1] = hidden[0, 1, 1, 1] = 1
    machine = stack.machines[0]
    visible = machine.shapes(stack.picture if shape == "conv" else (6,))[0]
    every = machine.units[0].states(visible)
    for h, found in zip(hidden, downward(stack, 1, hidden), strict=True):
        energies = machine.energy((every, h.expand(len(every), *h.shape)))
        exact = torch.einsum("n,n...->...", (-energies).softmax(0), every)
        torch.testing.assert_close(found, exact.view(stack.picture))


def test_downwards_through_a_connected_stack():
    stack = stack_of(rbm(6, 4), rbm(4, 3), picture=(1, 2, 3))
    top = torch.rand(5, 3, generator=seeded(1), dtype=torch.float64)
    first, second = stack.machines
    middle = second.units[0].mean(second.links[0].down(top))
    torch.testing.assert_close(
        downward(stack, 2, top), first.units[0].mean(first.links[0].down(middle)).view(5, 1, 2, 3)
    )
    sure = second.units[0].mode(second.links[0].down(top))
    torch.testing.assert_close(
        downward(stack, 2, top, mode), first.units[0].mean(first.links[0].down(sure)).view(5, 1, 2, 3)
    )


def test_downwards_by_the_generative_weights_where_these_are_untied():
    down = rbm(6, 4)
    stack = stack_of(rbm(6, 4), rbm(4, 3), picture=(1, 2, 3))
    down.double().units[0].bias.data.fill_(0.3)
    untied = Stack(stack.transform, stack.machines, stack.picture, [down])
    expected = torch.full((1, 1, 2, 3), 0.3).double().sigmoid()
    torch.testing.assert_close(downward(untied, 2, torch.ones(1, 3).double()), expected)
    assert not torch.allclose(downward(stack, 2, torch.ones(1, 3).double()), expected)


@pytest.mark.parametrize("name", STACKS)
def test_downwards_a_state_becomes_the_pixels_that_it_sees(name):
    stack = STACKS[name]()
    for number, layer in enumerate(stack.layers, start=1):
        assert isinstance(layer.link, Conv)
        below = stack.geometry[:number]
        sides = (2, 3)
        picture = downward(stack, number, torch.zeros(1, layer.unit.n, *sides).double())
        seen = [
            side + (n - 1) * move
            for n, (side, move) in zip(sides, (receptive_field(below, axis) for axis in (0, 1)), strict=True)
        ]
        assert picture.shape == (1, stack.picture[0], *seen)


def test_unpooled_every_unit_of_a_block_has_its_share():
    stack = STACKS["blocks of 2 and 3"]()
    x = torch.rand(2, 2, 2, 3, generator=seeded(), dtype=torch.float64)
    spread = spread_over_blocks(stack, 2, x)
    assert spread.shape == (2, 2, 6, 9)
    assert torch.equal(spread[:, :, 3:6, 6:9], (x[:, :, 1:, 2:] / 9).expand(-1, -1, 3, 3))
    torch.testing.assert_close(torch.nn.functional.avg_pool2d(spread, 3) * 9, x)


def test_vectors_are_given_back_their_height_and_width():
    stack = stack_of(conv_rbm(1, 3, 3, pool=2), rbm(3 * 2 * 4, 5), picture=(1, 6, 10))
    maps = torch.rand(2, 3, 2, 4, generator=seeded())
    assert torch.equal(as_maps(stack, 1, maps.flatten(1)), maps)
    assert torch.equal(as_maps(stack, 0, torch.ones(2, 60)), torch.ones(2, 1, 6, 10))
    assert as_maps(stack, 2, torch.ones(2, 5)).shape == (2, 5)


def test_the_deep_machine_downwards_against_enumeration():
    """A middle layer whose mean is all that matters: its units so sure that one pass down is exact."""
    stack = stack_of(dbm(3, [2, 2]), picture=(1, 1, 3))
    machine = stack.machines[0]
    machine.links[1].weight.data = torch.tensor([[60.0, -60.0], [-60.0, 60.0]]).double()
    joint, top = states(machine, machine.shapes((3,)), range(3)), torch.tensor([[1.0, 0.0]]).double()
    same = (joint[2] == top).all(1)
    p = (-machine.energy(tuple(x[same] for x in joint))).softmax(0)
    torch.testing.assert_close(downward(stack, 2, top)[0, 0, 0], p @ joint[0][same])
