"""Pretraining of deep Boltzmann machines with layers that are there twice, and how they compose, by enumeration."""

import itertools

import pytest
import torch

from convdbn.energy import BoltzmannMachine, pooled
from convdbn.errors import Interrupted, UsageError
from convdbn.images import ArrayImages, build_transform
from convdbn.learning.greedy import train_greedily
from convdbn.models.compose import dbm_from_doubled
from convdbn.models.files import open_model
from convdbn.models.machines import conv_rbm, doubled, rbm
from convdbn.models.stack import Stack
from convdbn.recipes import LayerSettings, Recipe
from convdbn.sampling import exact

FIELDS = {"batch": 50, "momentum_end": 0.0, "centering": "data"}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def randomized(*machines):
    for index, machine in enumerate(machines):
        for parameter in machine.double().parameters():
            parameter.data.normal_(0, 0.8, generator=seeded(index))
    return machines


def stacked(*machines, picture):
    return Stack(build_transform([]), randomized(*machines), picture)


def bars(count=400):
    """Pictures 3 x 3 of one lit row or one lit column."""
    x = torch.zeros(count, 1, 3, 3)
    for picture, index in zip(x, torch.randint(6, (count,), generator=seeded(1)).tolist(), strict=True):
        (picture[0] if index < 3 else picture[0].T)[index % 3] = 1
    return ArrayImages(x)


def recipe(*filters, updates=600, rate=0.2, **general):
    layers = tuple(LayerSettings(filters=n, updates=updates, rate=rate, **FIELDS) for n in filters)
    return Recipe(layers=layers, held_out=0, **general)


@torch.no_grad()
def conditional(machine, wanted, **given):
    """Mean of layer `wanted` given the states of others, from the enumerated joint."""
    joint, p = exact.probabilities(machine, machine.shapes((machine.units[0].n,)))
    fits = torch.stack([(joint[int(name[1:])] == x).all(1) for name, x in given.items()]).all(0)
    return (p[fits] / p[fits].sum()) @ joint[wanted][fits]


@torch.no_grad()
def test_conditionals_of_doubled_machines_are_those_of_the_paper():
    """Salakhutdinov and Hinton (2009), equations 17 to 20."""
    (below,) = randomized(doubled(rbm(4, 3), below=True))
    w, b, c = below.links[0].weight, below.units[0].bias, below.units[1].bias
    v, h = torch.tensor([1.0, 0, 1, 1]).double(), torch.tensor([0.0, 1, 1]).double()
    torch.testing.assert_close(conditional(below, 1, x0=v, x2=v), (2 * w @ v + c).sigmoid())
    torch.testing.assert_close(conditional(below, 0, x1=h), (h @ w + b).sigmoid())
    (above,) = randomized(doubled(rbm(4, 3), below=False))
    torch.testing.assert_close(conditional(above, 1, x0=v), (w @ v + c).sigmoid())
    torch.testing.assert_close(conditional(above, 0, x1=h, x2=h), (2 * h @ w + b).sigmoid())


@torch.no_grad()
def marginal(machine, shape, *layers):
    """Probabilities of the states of some layers, in the order of `exact.states`."""
    shapes = machine.shapes(shape)
    joint, p = exact.probabilities(machine, shapes)
    rows = torch.cat([joint[layer].flatten(1) for layer in layers], 1)
    wanted = torch.cat([x.flatten(1) for x in exact.states(machine, shapes, layers) if x is not None], 1)
    return torch.stack([p[(rows == row).all(1)].sum() for row in wanted])


@torch.no_grad()
def test_a_middle_layer_has_the_geometric_mean_of_what_both_machines_give_it():
    lower, upper = doubled(rbm(4, 3), below=True), doubled(rbm(3, 2), below=False)
    machine = dbm_from_doubled(stacked(lower, upper, picture=(1, 2, 2)))
    assert torch.equal(machine.links[0].weight, lower.links[0].weight)
    assert torch.equal(machine.links[1].weight, upper.links[0].weight)
    mean = (marginal(lower, (4,), 1) * marginal(upper, (3,), 0)).sqrt()
    torch.testing.assert_close(marginal(machine, (4,), 1), mean / mean.sum())


@torch.no_grad()
def test_machines_in_the_middle_are_halved():
    lower, middle, upper = doubled(rbm(3, 3), below=True), rbm(3, 2), doubled(rbm(2, 2), below=False)
    machine = dbm_from_doubled(stacked(lower, middle, upper, picture=(1, 1, 3)))
    assert torch.equal(machine.links[1].weight, middle.links[0].weight / 2)
    apart = torch.outer(marginal(lower, (3,), 1), marginal(upper, (2,), 0)).flatten()
    mean = (apart * marginal(middle, (3,), 0, 1)).sqrt()
    torch.testing.assert_close(marginal(machine, (3,), 1, 2), mean / mean.sum())


@torch.no_grad()
def test_pooling_units_become_blocks():
    """Where a pooling unit is on, each of its C x C = 4 places is as likely."""
    lower = doubled(conv_rbm(1, 1, (1, 2), pool=2), below=True)
    upper = doubled(conv_rbm(1, 2, 1, pool=1), below=False)
    machine = dbm_from_doubled(stacked(lower, upper, picture=(1, 2, 3)))
    assert [machine.links[1].pool, machine.shapes((1, 2, 3))[2]] == [2, (2, 1, 1)]
    (_, blocks, *_) = exact.states(lower, lower.shapes((1, 2, 3)), [1])
    (pools, *_), shapes = exact.states(upper, upper.shapes((1, 1, 1)), [0]), upper.shapes((1, 1, 1))
    seen = pooled(blocks, 2)
    index = (seen.flatten(1)[:, None] == pools.flatten(1)).all(2).int().argmax(1)
    above = marginal(upper, shapes[0], 0)[index] / 4 ** seen.sum([1, 2, 3])
    mean = (marginal(lower, (1, 2, 3), 1) * above).sqrt()
    torch.testing.assert_close(marginal(machine, (1, 2, 3), 1), mean / mean.sum())


def test_features_while_layers_are_doubled_see_the_picture_twice():
    stack = stacked(doubled(rbm(4, 3), below=True), doubled(rbm(3, 2), below=False), picture=(1, 2, 2))
    x = torch.rand(5, 1, 2, 2, generator=seeded(), dtype=torch.float64)
    lower, upper = stack.machines
    first = (2 * x.flatten(1) @ lower.links[0].weight.T + lower.units[1].bias).sigmoid()
    second = (first @ upper.links[0].weight.T + upper.units[1].bias).sigmoid()
    for found, wanted in zip(stack.features(x), (first, second), strict=True):
        torch.testing.assert_close(found, wanted)
    assert [info.channels for info in stack.feature_info] == [3, 2]


def test_what_is_shared_comes_back_shared():
    (machine,) = randomized(doubled(conv_rbm(1, 2, 2), below=True))
    again = BoltzmannMachine.build(machine.spec())
    assert again.units[0] is again.units[2] and again.links[0] is again.links[1]
    again.double().load_state_dict(machine.state_dict())
    for one, other in zip(machine.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_pretrained_machine_is_what_joint_training_begins_with(tmp_path):
    images = bars()
    x = images[range(len(images))].flatten(1)
    (machine,) = train_greedily(recipe(6, 4, doubled=True), images, folder=tmp_path / "greedy").machines
    with torch.no_grad():
        assert float(exact.log_likelihood(machine, x, machine.shapes((9,))).mean()) > -4.5  # 9 fair coins: -6.2
    joint = recipe(6, 4, updates=1, rate=1e-12, joint=True, initial=str(tmp_path / "greedy"))
    (begun,) = train_greedily(joint, images).machines
    for one, other in zip(machine.parameters(), begun.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    assert open_model(tmp_path / "greedy", "model").model.machines[0].spec() == machine.spec()


@pytest.mark.parametrize("stopped", [25, 115])
def test_an_interrupted_pretraining_ends_as_one_that_was_not(stopped, tmp_path):
    plan = recipe(5, 4, 3, doubled=True, updates=60)
    whole = train_greedily(plan, bars())
    asked = itertools.count()
    with pytest.raises(Interrupted):
        train_greedily(plan, bars(), folder=tmp_path, stop=lambda: next(asked) == stopped)
    resumed = train_greedily(plan, bars(), folder=tmp_path, resume=True)
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_what_is_refused():
    for plan, message in (
        (recipe(4, doubled=True), "needs two layers or more"),
        (recipe(4, 3, doubled=True, joint=True), "needs two layers or more"),
        (recipe(4, 3, doubled=True, initial="rbm500_mnist"), "needs two layers or more"),
        (
            Recipe(layers=(LayerSettings(kernel=2, pool=1), LayerSettings(kernel=0)), doubled=True),
            "layers are convolutional and fully connected",
        ),
        (Recipe(layers=(LayerSettings(), LayerSettings(labels=True)), doubled=True), "learns no labels"),
        (
            Recipe(layers=(LayerSettings(), LayerSettings(visible="gaussian")), doubled=True),
            "write visible: bernoulli",
        ),
    ):
        with pytest.raises(UsageError, match=message):
            train_greedily(plan, bars())
