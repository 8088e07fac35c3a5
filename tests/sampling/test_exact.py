"""The oracles against counting by hand."""

import itertools
import math

import pytest
import torch
from small import DISCRETE, generator, make

from convdbn.errors import UsageError
from convdbn.models.machines import dbm
from convdbn.sampling import exact


@torch.no_grad()
def test_log_z_of_an_rbm_by_loops():
    machine, shapes = make("rbm")
    w, (b, c) = machine.links[0].weight, (machine.units[0].bias, machine.units[1].bias)
    total = 0.0
    for v in itertools.product([0.0, 1.0], repeat=4):
        for h in itertools.product([0.0, 1.0], repeat=3):
            x, y = torch.tensor(v).double(), torch.tensor(h).double()
            total += math.exp(float(y @ w @ x + b @ x + c @ y))
    for color in (0, 1):
        assert float(exact.log_z(machine, shapes, color)) == pytest.approx(math.log(total), abs=1e-12)


@pytest.mark.parametrize("name", DISCRETE)
@torch.no_grad()
def test_likelihood_is_the_marginal_of_the_joint(name):
    machine, shapes = make(name)
    joint, p = exact.probabilities(machine, shapes)
    v = joint[0][:: max(1, len(p) // 5)]
    marginal = torch.stack([p[(joint[0] == one).flatten(1).all(1)].sum() for one in v])
    torch.testing.assert_close(exact.log_likelihood(machine, v, shapes).exp(), marginal)


@torch.no_grad()
def test_exact_draws_have_exact_means():
    machine, shapes = make("labeled_pooled_rbm")
    joint, p = exact.probabilities(machine, shapes)
    drawn = exact.sample(machine, shapes, 100_000, generator=generator())
    for x, states in zip(drawn, joint, strict=True):
        expected = p @ states.flatten(1)
        error = (expected * (1 - expected) / 100_000).sqrt()
        assert ((x.flatten(1).mean(0) - expected).abs() < 5 * error + 1e-9).all()


SHAPES = [(4,), (3,)]


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (None, r"shapes=None: needs one for each of 2 layers; take machine.shapes"),
        ([(4,)], r"shapes=\[\(4,\)\]: needs one for each of 2 layers"),
        ([4, 3], r"shapes=\[4, 3\]: needs one for each of 2 layers"),
        ([(4,), (2,)], r"shapes=.*: the links join \[\(4,\), \(3,\)\]; take machine.shapes of the visible layer"),
        ([(1, 4), (3,)], r"visible=\(1, 4\): is not \(4,\) or .*; leave the batch out"),
    ],
)
def test_shapes_that_are_not_those_of_the_machine(shapes, message):
    machine, _ = make("rbm")
    for door in (exact.log_z, exact.probabilities, lambda *both: exact.states(*both, [0])):
        with pytest.raises(UsageError, match=message):
            door(machine, shapes)


@pytest.mark.parametrize(
    ("visible", "message"),
    [
        (torch.zeros(4).double(), r"visible=\(4,\): is not \(batch, 4\).*add the batch dimension"),
        (torch.zeros(2, 4).long(), r"visible=torch.int64 on cpu: the machine is torch.float64"),
        ([[0.0] * 4], r"visible=list: is no tensor; write torch.as_tensor"),
        (torch.zeros(2, 4).numpy(), r"visible=ndarray: is no tensor"),
        (torch.zeros(2, 3).double(), r"visible=\(2, 3\): is not \(batch, 4\)"),
    ],
)
def test_what_is_no_visible_layer(visible, message):
    with pytest.raises(UsageError, match=message):
        exact.log_likelihood(make("rbm")[0], visible, SHAPES)


def test_what_is_not_enumerated():
    with pytest.raises(UsageError, match=r"kind='gaussian': these units cannot be enumerated; keep them"):
        exact.probabilities(*make("gaussian_rbm"))
    with pytest.raises(UsageError, match=r"layers=2: the machine has none; take a number from 0 to 1"):
        exact.states(make("rbm")[0], SHAPES, [2])
    with pytest.raises(UsageError, match=r"color=2: the machine has none; take a number from 0 to 1"):
        exact.log_z(make("rbm")[0], SHAPES, 2)
    deep = dbm(12, [4, 12])
    with pytest.raises(UsageError, match=r"layers=\[0, 2\]: have 16,777,216 joint states, more than the 4,194,304"):
        exact.log_z(deep, deep.shapes((12,)), 0)
    assert float(exact.log_z(deep, deep.shapes((12,)), 1).detach()) == pytest.approx(28 * math.log(2), rel=1e-6)


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (0, {"generator": generator()}, r"count=0: is no such number; take a whole number from 1 up"),
        (-1, {"generator": generator()}, r"count=-1: is no such number"),
        (1, {}, r"generator=None: the draws need one on cpu; give torch.Generator"),
    ],
)
def test_what_draws_need(count, options, message):
    with pytest.raises(UsageError, match=message):
        exact.sample(make("rbm")[0], SHAPES, count, **options)
