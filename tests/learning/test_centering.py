"""Centered learning against the definition: a machine whose links see differences from the offsets."""

import copy

import pytest
import torch
from small import generator, make

from convdbn.energy import Conv, mean_per_unit
from convdbn.learning.centering import SLIDE, Centering
from convdbn.learning.optimizer import TorchOptimizer

RATE = 0.1


def states(machine, shapes, seed):
    source = generator(seed)
    return tuple(torch.rand(6, *shape, generator=source, dtype=torch.float64) for shape in shapes)


def step(machine, centering, positive, negative):
    optimizer = TorchOptimizer(torch.optim.SGD(machine.parameters(), lr=RATE))
    machine.contrast(positive, negative, onto=optimizer.gradients)
    centering.step(machine, optimizer, positive, negative)


@pytest.mark.parametrize("name", ["rbm", "gaussian_rbm", "labeled_rbm", "dbm"])
def test_a_step_is_that_of_the_centered_machine(name):
    """Autograd on the energy of differences from the offsets, in its own parameters, then back to ordinary ones."""
    machine, shapes = make(name)
    positive, negative = states(machine, shapes, 1), states(machine, shapes, 2)
    centering = Centering("data")
    centering.offsets = [torch.rand(unit.n, generator=generator(3), dtype=torch.float64) for unit in machine.units]
    held = [x.clone() for x in centering.offsets]
    expected = reference(copy.deepcopy(machine), held, positive, negative)
    centering._slide = lambda positive, negative: None
    step(machine, centering, positive, negative)
    for found, wanted in zip(machine.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(found, wanted)


def reference(machine, offsets, positive, negative):
    """SGD on weights and centered biases b' of the energy -<b', x> - <y - o, W (x - o')>, and b from the result."""
    seen = [unit.to_links(o[None])[0] for unit, o in zip(machine.units, offsets, strict=True)]
    moves = [bias_move(machine, layer, seen) for layer in range(len(offsets))]
    primed = [(unit.bias + move).detach().requires_grad_() for unit, move in zip(machine.units, moves, strict=True)]

    def energy(state):
        biases = [b - bias_move(machine, layer, seen) for layer, b in enumerate(primed)]
        total = 0.0
        for unit, x, b in zip(machine.units, state, biases, strict=True):
            total = total + ((x - b).square().sum(1) / (2 * unit.scale**2) if unit.kind == "gaussian" else -x @ b)
        return (total + machine.coupling(state)).mean()

    weights = [link.weight for link in machine.links]
    loss = energy(positive) - energy(negative)
    gradients = torch.autograd.grad(loss, [*weights, *primed])
    with torch.no_grad():
        for parameter, gradient in zip([*weights, *primed], gradients, strict=True):
            parameter -= RATE * gradient
        for layer, unit in enumerate(machine.units):
            unit.bias.copy_(primed[layer] - bias_move(machine, layer, seen))
    return machine


def bias_move(machine, layer, seen):
    """W o, summed over the neighbors: how much the ordinary bias lies below the centered one."""
    total = torch.zeros_like(machine.units[layer].bias)
    for (a, b), link in zip(machine.edges, machine.links, strict=True):
        total = total + (link.weight @ seen[a] if layer == b else 0) + (seen[b] @ link.weight if layer == a else 0)
    return total


@pytest.mark.parametrize("name", ["conv_rbm", "pooled_rbm", "conv_dbm", "gaussian_pooled_rbm"])
def test_filters_learn_as_if_each_map_were_its_difference_from_a_number(name):
    """With the hidden offsets at 0 the filters' step is the gradient with every picture less its offset, exactly."""
    machine, shapes = make(name)
    positive, negative = states(machine, shapes, 1), states(machine, shapes, 2)
    centering = Centering("data")
    centering.offsets = [torch.zeros(unit.n, dtype=torch.float64) for unit in machine.units]
    centering.offsets[0] += 0.3
    centering._slide = lambda positive, negative: None
    before = [link.weight.detach().clone() for link in machine.links]
    shifted = [(state[0] - 0.3, *state[1:]) for state in (positive, negative)]
    gradients = [machine.contrast(*shifted)[link.weight] for link in machine.links]
    step(machine, centering, positive, negative)
    for link, old, gradient in zip(machine.links, before, gradients, strict=True):
        torch.testing.assert_close(link.weight, old - RATE * gradient)


def test_convolutions_carry_the_offset_into_the_hidden_bias():
    """The field of a hidden unit changes by the filter's step on the centered picture and the bias's own step."""
    machine, shapes = make("pooled_rbm")
    positive, negative = states(machine, shapes, 1), states(machine, shapes, 2)
    centering = Centering("data")
    centering.offsets = [torch.full((1,), 0.3, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)]
    centering._slide = lambda positive, negative: None
    x = positive[0]
    before, old = machine.units[1].biased(machine.field((x, None), 1)), copy.deepcopy(machine)
    own = -RATE * machine.contrast(positive, negative)[machine.units[1].bias]
    step(machine, centering, positive, negative)
    link = machine.links[0]
    assert isinstance(link, Conv)
    link.weight.data -= old.links[0].weight.data
    moved = link.up(x - 0.3) + own.view(-1, 1, 1)
    link.weight.data += old.links[0].weight.data
    torch.testing.assert_close(machine.units[1].biased(machine.field((x, None), 1)), before + moved)


@pytest.mark.parametrize("name", ["conv_rbm", "pooled_rbm", "wide_block_rbm"])
def test_convolutions_carry_the_offset_into_the_visible_bias(name):
    """What hidden units at their offsets say of the visible ones, on average over the positions, moves by the bias's
    own step alone, however much of the filter the borders cut away."""
    machine, shapes = make(name)
    positive, negative = states(machine, shapes, 1), states(machine, shapes, 2)
    centering = Centering("data")
    centering.offsets = [
        torch.full((unit.n,), o, dtype=torch.float64) for unit, o in zip(machine.units, (0, 0.2), strict=True)
    ]
    centering._slide = lambda positive, negative: None
    own = -RATE * machine.contrast(positive, negative)[machine.units[0].bias]
    hidden = torch.full_like(positive[1], 0.2)
    before = machine.units[0].biased(machine.field((None, hidden), 0)).mean([0, 2, 3])
    step(machine, centering, positive, negative)
    after = machine.units[0].biased(machine.field((None, hidden), 0)).mean([0, 2, 3])
    torch.testing.assert_close(after, before + own)


@pytest.mark.parametrize("name", ["doubled_rbm", "doubled_top"])
def test_what_two_layers_share_is_carried_once(name):
    """Of units at their offsets, the mean field of every layer moves by the step of its own bias alone."""
    machine, shapes = make(name)
    positive, negative = states(machine, shapes, 1), states(machine, shapes, 2)
    centering = Centering("data")
    centering.offsets = [torch.full((unit.n,), 0.3, dtype=torch.float64) for unit in machine.units]
    centering._slide = lambda positive, negative: None
    gradients = machine.contrast(positive, negative)
    own = [-RATE * gradients[unit.bias] for unit in machine.units]
    typical = tuple(torch.full_like(x[:1], 0.3) for x in positive)

    def seen(layer):
        field = machine.units[layer].biased(machine.field(typical, layer))
        return field.mean([0, *range(2, field.ndim)])

    before = [seen(layer) for layer in range(3)]
    step(machine, centering, positive, negative)
    for layer, bias in enumerate(own):
        torch.testing.assert_close(seen(layer), before[layer] + bias)


@pytest.mark.parametrize("source", ["data", "model", "both"])
def test_offsets_start_at_the_data_and_slide(source):
    machine, shapes = make("pooled_rbm")
    positive, negative = states(machine, shapes, 1), states(machine, shapes, 2)
    centering = Centering(source)
    step(machine, centering, positive, negative)
    for offset, x, y in zip(centering.offsets, positive, negative, strict=True):
        data, model = mean_per_unit(x), mean_per_unit(y)
        latest = {"data": data, "model": model, "both": (data + model) / 2}[source]
        torch.testing.assert_close(offset, data + SLIDE * (latest - data))
