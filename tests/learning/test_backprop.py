"""Backpropagation finds a minimum, its rates rise and fall, it says when a loss breaks, it goes on."""

import itertools

import pytest
import torch
from torch import nn

from convdbn.errors import Diverged
from convdbn.learning.backprop import Backprop, shuffled

NOTHING = torch.empty(0)


def quadratic():
    """A point and its squared distance from (1, -2)."""
    point = nn.Parameter(torch.zeros(2))
    return point, lambda batch: (point - torch.tensor([1.0, -2.0])).square().sum()


def descend(groups, loss, updates):
    return Backprop(groups, loss, updates=updates, generator=torch.Generator()).steps(itertools.repeat(NOTHING))


def test_finds_the_minimum_of_a_bowl():
    point, loss = quadratic()
    losses = list(descend([{"params": [point], "lr": 0.1}], loss, 200))
    assert len(losses) == 200 and losses[0] == 5
    torch.testing.assert_close(point.detach(), torch.tensor([1.0, -2.0]), atol=1e-3, rtol=0)


def test_rates_rise_over_a_tenth_and_fall_to_nothing():
    """Adam's steps are as long as its rate under a gradient that never changes."""
    point = nn.Parameter(torch.zeros(1))
    group = {"params": [point], "lr": 0.1}
    places = [float(point.detach()) for _ in descend([group], lambda batch: point.sum(), 100)]
    steps = -torch.tensor(places).diff()
    assert 8 <= steps.argmax() <= 12
    assert steps.max() == pytest.approx(0.1, rel=0.02)
    assert (steps[:8].diff() > 0).all() and (steps[13:].diff() < 0).all()
    assert steps[-1] < 1e-3


@pytest.mark.parametrize("updates", range(1, 31))
def test_any_number_of_updates_goes_downhill(updates):
    point, loss = quadratic()
    losses = list(descend([{"params": [point], "lr": 0.1}], loss, updates))
    assert len(losses) == updates
    assert float(loss(NOTHING).detach()) < 5


def test_gradients_are_gone_after_each_step():
    point, loss = quadratic()
    for _ in descend([{"params": [point], "lr": 0.1}], loss, 3):
        assert point.grad is None and point.requires_grad


def test_groups_have_rates_of_their_own():
    fast, slow = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    groups = [{"params": [fast], "lr": 0.1}, {"params": [slow], "lr": 0.01}]
    list(descend(groups, lambda batch: (fast + slow).sum(), 50))
    assert float(fast.detach()) == pytest.approx(10 * float(slow.detach()), rel=1e-3)


def test_a_loss_that_is_not_finite_stops_the_descent():
    point = nn.Parameter(torch.ones(1))
    with pytest.raises(Diverged, match="step 0: the loss is nan"):
        list(descend([{"params": [point], "lr": 0.1}], lambda batch: (point * torch.nan).sum(), 5))
    assert point.isfinite().all()


@pytest.mark.parametrize("updates", [1, 5])
def test_parameters_that_are_not_finite_are_neither_saved_nor_an_end(updates):
    """The derivative of a root is infinite at 0, the root is not."""
    point = nn.Parameter(torch.zeros(1))
    groups = [{"params": [point], "lr": 0.1}]
    backprop = Backprop(groups, lambda batch: point.sqrt().sum(), updates=updates, generator=torch.Generator())
    steps = backprop.steps(itertools.repeat(NOTHING))
    assert next(steps) == 0
    with pytest.raises(Diverged, match="step 1: a parameter is not finite"):
        list(steps) if updates == 1 else backprop.state()


def test_a_state_carries_everything_but_the_parameters():
    """Noise, rates and the optimizer's memory: cut after any step, the rest is bit for bit the same."""

    def begun(place):
        point, generator = nn.Parameter(place.clone()), torch.Generator().manual_seed(3)
        rows = torch.randn(10, 2, generator=torch.Generator().manual_seed(1))

        def loss(index):
            return (point - rows[index] - torch.randn(2, generator=generator)).square().sum()

        groups = [{"params": [point], "lr": 0.1}]
        backprop = Backprop(groups, loss, updates=12, weight_decay=0.1, generator=generator)

        def steps():
            return backprop.steps(shuffled(10, 3, seed=5, start=backprop.step))

        return point, backprop, steps

    point, _, steps = begun(torch.zeros(2))
    expected = list(steps())
    for cut in range(12):
        first, backprop, steps = begun(torch.zeros(2))
        losses = list(itertools.islice(steps(), cut))
        again, resumed, steps = begun(first.detach())
        resumed.load_state({name: x.clone() for name, x in backprop.state().items()})
        assert losses + list(steps()) == expected
        assert torch.equal(again, point)


@pytest.mark.parametrize("start", [0, 1, 3, 4, 11])
def test_batches_are_a_function_of_the_seed_and_the_update(start):
    whole = list(itertools.islice(shuffled(10, 3, seed=2), 20))
    rest = list(itertools.islice(shuffled(10, 3, seed=2, start=start), 20 - start))
    assert all(torch.equal(one, other) for one, other in zip(whole[start:], rest, strict=True))
    for epoch in range(3):  # three whole batches of ten, no picture twice
        assert len(torch.cat(whole[3 * epoch : 3 * epoch + 3]).unique()) == 9
    assert not torch.equal(torch.cat(whole[:3]), torch.cat(whole[3:6]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here: recorded steps are not run")
def test_recorded_steps_are_the_plain_ones():
    """A loss without noise: the same descent, also where a new key makes a new recording half-way."""
    rows = torch.randn(10, 2, generator=torch.Generator().manual_seed(1)).cuda()
    ends = []
    for recorded in (False, True):
        point = nn.Parameter(torch.zeros(2, device="cuda"))
        generator = torch.Generator("cuda")
        backprop = Backprop(
            [{"params": [point], "lr": 0.1}],
            lambda index, point=point: (point - rows[index]).square().sum(),
            updates=40,
            weight_decay=0.1,
            generator=generator,
            recorded=recorded,
            key=lambda: backprop.step // 20,
        )
        ends.append((list(backprop.steps(shuffled(10, 3, seed=5))), point.tolist()))
    assert ends[0][0] == pytest.approx(ends[1][0], rel=1e-5)
    assert ends[0][1] == pytest.approx(ends[1][1], rel=1e-5)
