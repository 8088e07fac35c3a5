"""The oracles against counting by hand."""

import itertools
import math

import pytest
import torch
from small import DISCRETE, generator, make

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
