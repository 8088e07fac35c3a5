"""log Z by annealed importance sampling against enumeration, from below and from above."""

import logging

import pytest
import torch
from small import DISCRETE, generator, make

from convdbn.energy import Bernoulli
from convdbn.errors import UsageError
from convdbn.sampling import exact
from convdbn.sampling.ais import EDGE, Estimate, LogZ, base_means, checked, log_z, schedule

RUNS = 500
BETAS = torch.linspace(0, 1, 201, dtype=torch.float64)


@torch.no_grad()
def estimated(machine, shapes, color=None):
    samples = exact.sample(machine, shapes, RUNS, generator=generator(1))
    base = base_means(machine, exact.sample(machine, shapes, 100, generator=generator(2))[0])
    return log_z(machine, base, samples, generator=generator(3), betas=BETAS, color=color)


@pytest.mark.parametrize("name", DISCRETE)
@pytest.mark.parametrize("color", [0, 1])
@torch.no_grad()
def test_both_directions_find_log_z_within_their_bounds(name, color):
    """Three standard errors, by the estimate's own reckoning: false alarm 0.3 % for each direction, fixed seeds."""
    machine, shapes = make(name)
    truth = float(exact.log_z(machine, shapes))
    found = estimated(machine, shapes, color)
    assert found.forward.low < truth < found.forward.high
    assert found.reverse.low < truth < found.reverse.high
    assert found.trusted and abs(found.gap) < 0.1


@pytest.mark.parametrize("name", ["gaussian_rbm", "gaussian_pooled_rbm", "learned_gaussian_rbm"])
@torch.no_grad()
def test_gaussian_visibles_are_summed(name):
    machine, shapes = make(name)
    hidden = exact.states(machine, shapes, [1])
    p = (-machine.free_energy(hidden, 1)).softmax(0)
    h = hidden[1][torch.multinomial(p, RUNS, replacement=True, generator=generator(1))]
    v = machine.units[0].sample(machine.field((None, h), 0), generator=generator(2))
    found = log_z(machine, base_means(machine, v), (v, h), generator=generator(3), betas=BETAS)
    truth = float(exact.log_z(machine, shapes))
    assert found.forward.low < truth < found.forward.high
    assert found.reverse.low < truth < found.reverse.high


@torch.no_grad()
def test_a_bias_counted_twice_is_caught():
    """Planted: sampling with twice the hidden bias moves at least one direction off the truth."""

    class BiasTwice(Bernoulli):
        def sample(self, field, *, generator):
            return super().sample(field + self.per_unit(self.bias, field), generator=generator)

    machine, shapes = make("rbm")
    truth = float(exact.log_z(machine, shapes))
    samples = exact.sample(machine, shapes, RUNS, generator=generator(1))
    base = base_means(machine, samples[0])
    wrong = BiasTwice(3).double()
    wrong.bias = machine.units[1].bias
    machine.units[1] = wrong
    found = log_z(machine, base, samples, generator=generator(3), betas=BETAS)
    assert not (found.forward.low < truth < found.forward.high and found.reverse.low < truth < found.reverse.high)


@torch.no_grad()
def test_few_steps_bracket_the_truth_and_are_not_trusted(caplog):
    """Strong couplings and ten steps: forwards falls short, in reverse it overshoots, and the log says so loudly."""
    machine, shapes = make("rbm", scale=6.0)
    truth = float(exact.log_z(machine, shapes))
    with caplog.at_level(logging.WARNING):
        samples = exact.sample(machine, shapes, RUNS, generator=generator(1))
        base = tuple(torch.full((1, *shape), 0.5, dtype=torch.float64) for shape in shapes)
        found = log_z(machine, base, samples, generator=generator(3), betas=torch.linspace(0, 1, 3))
    assert found.forward.log_z < truth + 1 and found.reverse.log_z > truth - 1
    assert not found.trusted
    assert "CANNOT BE TRUSTED" in caplog.text and "take more betas" in caplog.text


@pytest.mark.parametrize(
    ("reverse", "ess", "trusted"), [(10.5, 50, True), (11.5, 50, False), (8.5, 50, False), (10.5, 2, False)]
)
def test_what_is_trusted(reverse, ess, trusted):
    found = LogZ(Estimate(10, 9.9, 10.1, ess, 100), Estimate(reverse, 9.9, 10.1, 50, 100))
    assert found.trusted is trusted
    assert checked(found) is found


def test_schedule_is_that_of_the_paper():
    betas = schedule()
    assert len(betas) == 14_501 and betas[0] == 0 and betas[-1] == 1
    steps = betas.diff()
    for index, step in ((0, 1e-3), (499, 1e-3), (500, 1e-4), (4499, 1e-4), (4500, 1e-5), (14_499, 1e-5)):
        assert float(steps[index]) == pytest.approx(step)


@torch.no_grad()
def test_the_base_has_the_means_of_the_data_but_reaches_every_state():
    machine, _ = make("rbm")
    data = torch.zeros(10, 4, dtype=torch.float64)
    data[:5, 0] = 1
    means = base_means(machine, data)[0]
    expected = torch.tensor([[0.5, EDGE / 2, EDGE / 2, EDGE / 2]], dtype=torch.float64)
    torch.testing.assert_close(means, expected)


V, H = torch.zeros(2, 4).double(), torch.zeros(2, 3).double()
BASE = (V[:1], H[:1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base": V}, r"base=Tensor: needs one tensor for each of 2 layers; give a tuple"),
        ({"base": (V[0], H[0])}, r"base\[0\]=\(4,\): is not \(batch, 4\).*add the batch dimension"),
        ({"base": (V, H)}, r"base\[0\]=\(2, 4\): the samples have layers \(2, 4\); take base_means"),
        ({"samples": (V,)}, r"samples=1 layers: needs one tensor for each of 2 layers"),
        ({"samples": (V, None)}, r"samples\[1\]=None: every layer is needed"),
        ({"samples": (V.numpy(), H)}, r"samples\[0\]=ndarray: is no tensor; write torch.as_tensor"),
        ({"samples": (V.tolist(), H)}, r"samples\[0\]=list: is no tensor"),
        ({"samples": (V, H.long())}, r"samples\[1\]=torch.int64 on cpu: the machine is torch.float64"),
        ({"generator": None}, r"generator=None: the draws need one on cpu; give torch.Generator"),
        ({"betas": [0.0, 1.0]}, r"betas=list: are no inverse temperatures; give a tensor"),
        ({"betas": torch.zeros(0)}, r"betas=torch.float32 \(0,\): are no inverse temperatures"),
        ({"betas": torch.tensor([0, 1])}, r"betas=torch.int64 \(2,\): are no inverse temperatures"),
        ({"betas": BETAS[1:]}, r"betas=0.005 to 1: do not lead from the base to the machine; begin with 0"),
        ({"betas": BETAS.flip(0)}, r"betas=1 to 0: do not lead from the base to the machine"),
        ({"color": 2}, r"color=2: the machine has none; take a number from 0 to 1"),
    ],
)
def test_what_log_z_does_not_take(options, message):
    machine, _ = make("rbm")
    sound = {"base": BASE, "samples": (V, H), "betas": BETAS, "generator": generator()}
    assert log_z(machine, **sound).forward.runs == 2
    with pytest.raises(UsageError, match=message):
        log_z(machine, **{**sound, **options})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (V.numpy(), r"data=ndarray: is no tensor; write torch.as_tensor"),
        (V[0], r"data=\(4,\): is not \(batch, 4\).*add the batch dimension"),
        (V.long(), r"data=torch.int64 on cpu: the machine is torch.float64 on cpu; write x.to"),
    ],
)
def test_what_is_no_data_for_a_base(data, message):
    with pytest.raises(UsageError, match=message):
        base_means(make("rbm")[0], data)


@pytest.mark.parametrize("steps", [0, -1, 1.5, None])
def test_a_schedule_has_steps(steps):
    with pytest.raises(UsageError, match=rf"steps={steps}: is no such number; take a whole number from 1 up"):
        schedule(steps)
