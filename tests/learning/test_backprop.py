"""The loop of backpropagation: it finds a minimum, its rates rise and fall, and it says when a loss breaks."""

import pytest
import torch
from torch import nn

from convdbn.errors import Diverged
from convdbn.learning.backprop import descend


def quadratic():
    """A point and its squared distance from (1, -2)."""
    point = nn.Parameter(torch.zeros(2))
    return point, lambda: (point - torch.tensor([1.0, -2.0])).square().sum()


def test_finds_the_minimum_of_a_bowl():
    point, loss = quadratic()
    losses = list(descend([{"params": [point], "lr": 0.1}], loss, updates=200, weight_decay=0))
    assert len(losses) == 200 and losses[0] == 5
    torch.testing.assert_close(point.detach(), torch.tensor([1.0, -2.0]), atol=1e-3, rtol=0)


def test_rates_rise_over_a_tenth_and_fall_to_nothing():
    """Adam's steps are as long as its rate under a gradient that never changes."""
    point = nn.Parameter(torch.zeros(1))
    group = {"params": [point], "lr": 0.1}
    places = [float(point.detach()) for _ in descend([group], lambda: point.sum(), updates=100, weight_decay=0)]
    steps = -torch.tensor(places).diff()
    assert 8 <= steps.argmax() <= 12
    assert steps.max() == pytest.approx(0.1, rel=0.02)
    assert (steps[:8].diff() > 0).all() and (steps[13:].diff() < 0).all()
    assert steps[-1] < 1e-3


@pytest.mark.parametrize("updates", range(1, 31))
def test_any_number_of_updates_goes_downhill(updates):
    point, loss = quadratic()
    losses = list(descend([{"params": [point], "lr": 0.1}], loss, updates=updates, weight_decay=0))
    assert len(losses) == updates
    assert float(loss().detach()) < 5


def test_groups_have_rates_of_their_own():
    fast, slow = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    groups = [{"params": [fast], "lr": 0.1}, {"params": [slow], "lr": 0.01}]
    list(descend(groups, lambda: (fast + slow).sum(), updates=50, weight_decay=0))
    assert float(fast.detach()) == pytest.approx(10 * float(slow.detach()), rel=1e-3)


def test_a_loss_that_is_not_finite_stops_the_descent():
    point = nn.Parameter(torch.ones(1))
    with pytest.raises(Diverged, match="step 0: loss is nan"):
        list(descend([{"params": [point], "lr": 0.1}], lambda: (point * torch.nan).sum(), updates=5, weight_decay=0))
    assert point.isfinite().all()
