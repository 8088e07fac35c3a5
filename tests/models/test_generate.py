"""What a model draws, against the exact distribution of small ones."""

import pytest
import torch
from small import FALSE_ALARM, generator, p_value

from convdbn.errors import UsageError
from convdbn.images import build_transform
from convdbn.models.generate import generate, one_hot
from convdbn.models.machines import conv_rbm, dbm, labeled_rbm, rbm
from convdbn.models.stack import Stack
from convdbn.sampling import exact


def model(*machines, picture=(1, 3, 3)):
    for machine in machines:
        for seed, parameter in enumerate(machine.parameters()):
            parameter.data.normal_(0, 1.0, generator=generator(seed))
    return Stack(build_transform([]), list(machines), picture)


def drawn(stack, count=8, frames=1, seed=0, **options):
    at = range(0, 2 * frames, 2)
    return list(generate(stack, count, burn_in=30, at=at, generator=generator(seed), **options))


@torch.no_grad()
def test_means_of_many_chains_are_those_of_the_machine():
    """Five standard errors for each of nine pixels: a false alarm about once in 200,000."""
    stack = model(rbm(9, 4))
    machine = stack.machines[0]
    joint, p = exact.probabilities(machine, machine.shapes((9,)))
    for begin in (None, torch.ones(4000, 1, 3, 3)):
        (pictures,) = drawn(stack, 4000, begin=begin)
        error = (pictures.flatten(1).var(0) / 4000).sqrt()
        assert ((pictures.flatten(1).mean(0) - p @ joint[0]).abs() < 5 * error).all()


@torch.no_grad()
def test_chains_leave_noise_as_the_sweeps_of_the_machine_say():
    """After 0, 1 and 3 sweeps, by the exact transition between hidden states, five standard errors as above."""
    stack = model(rbm(9, 4))
    machine = stack.machines[0]
    visible, hidden = (unit.states((unit.n,)) for unit in machine.units)
    joint = exact.states(machine, machine.shapes((9,)), (0, 1))
    energy = machine.energy(joint).view(len(visible), len(hidden))
    sweep = (-energy).softmax(0).T @ (-energy).softmax(1)  # from hidden to visible, and on to hidden
    p, means = (hidden @ machine.units[1].bias).softmax(0), machine.units[0].mean(machine.field((None, hidden), 0))
    found = list(generate(stack, 4000, burn_in=0, at=(0, 1, 3), generator=generator()))
    for pictures, sweeps in zip(found, (0, 1, 3), strict=True):
        error = (pictures.flatten(1).var(0) / 4000).sqrt()
        expected = p @ torch.linalg.matrix_power(sweep, sweeps) @ means
        assert ((pictures.flatten(1).mean(0) - expected).abs() < 5 * error).all()
    assert float((p @ means - expected).abs().max()) > 0.1


@torch.no_grad()
def test_a_deep_belief_network_draws_from_the_top_down():
    stack = model(rbm(9, 4), rbm(4, 5))
    bottom, top = stack.machines
    joint, p = exact.probabilities(top, top.shapes((4,)))
    expected = p @ bottom.units[0].mean(bottom.field((None, joint[0]), 0))
    (pictures,) = drawn(stack, 4000)
    error = (pictures.flatten(1).var(0) / 4000).sqrt()
    assert ((pictures.flatten(1).mean(0) - expected).abs() < 5 * error).all()


def test_every_kind_of_stack_draws_pictures_of_its_own_size():
    stacks = [
        model(dbm(9, [5, 4, 3])),
        model(conv_rbm(1, 3, 3, pool=2), picture=(1, 8, 8)),
        model(conv_rbm(1, 3, 3, pool=2), conv_rbm(3, 4, 2, pool=1), picture=(1, 8, 8)),
        model(conv_rbm(1, 3, 3, pool=2), rbm(27, 5), picture=(1, 8, 8)),
        model(conv_rbm(1, 3, 3, pool=2), conv_rbm(3, 4, 2, pool=2), picture=(1, 10, 10)),
    ]
    for stack, side in zip(stacks, (3, 8, 8, 8, 8), strict=True):  # the last: 10 does not divide
        first, second = drawn(stack, frames=2)
        assert first.shape == second.shape == (8, 1, side, side)
        (begun,) = drawn(stack, begin=torch.rand(8, *stack.picture, generator=generator(5)))
        assert begun.shape == first.shape
        assert first.min() >= 0 and first.max() <= 1 and not torch.equal(first, second)
        assert torch.equal(first, drawn(stack)[0]) and not torch.equal(first, drawn(stack, seed=1)[0])


def causes(stack, label):
    """All pictures that the layer above the pixels can cause, and their probabilities given the label, exactly."""
    top, deep = stack.machines[-1], len(stack.machines) > 1
    joint, p = exact.probabilities(top, top.shapes((top.units[0].n,)))
    layer = joint[0 if deep else 1]
    states = layer.unique(dim=0)
    here = joint[-1][:, label] == 1
    probabilities = torch.stack([p[here & (layer == one).all(1)].sum() for one in states]) / p[here].sum()
    bottom = stack.machines[0]
    given = (None, states, *[None] * (len(bottom.units) - 2))
    return bottom.units[0].mean(bottom.field(given, 0)), probabilities


@pytest.mark.parametrize("kind", ["rbm", "dbn", "dbm"])
@pytest.mark.parametrize("begin", [None, torch.ones(4000, 1, 3, 3)], ids=["cooled", "begun"])
@torch.no_grad()
def test_a_label_draws_what_the_model_draws_given_it(kind, begin):
    """A chi-square test of all pictures that there can be, for each class, in two frames; a right sampler fails one
    of the 36 tests with a probability of at most .0036 over seeds."""
    machines = {
        "rbm": [labeled_rbm(9, 4, 3)],
        "dbn": [rbm(9, 4), labeled_rbm(4, 4, 3)],
        "dbm": [dbm(9, [4, 2], 3)],
    }
    stack = model(*machines[kind])
    for link in stack.machines[-1].links[1:]:
        link.weight.data.mul_(3 if kind == "dbm" else 2)  # which tells the classes apart
    found = []
    for label in range(3):
        labels = one_hot(stack, label, 4000)
        frames = drawn(stack, 4000, frames=2, seed=label, begin=begin, labels=labels)
        possible, probabilities = causes(stack, label)
        for pictures in frames:
            distances = (pictures.flatten(1)[:, None] - possible).abs().amax(-1)
            assert float(distances.amin(1).max()) < 1e-5
            found.append(p_value(distances.argmin(1), torch.arange(len(possible)), probabilities))
            other = causes(stack, (label + 1) % 3)[1]
            assert p_value(distances.argmin(1), torch.arange(len(possible)), other) < FALSE_ALARM
    assert min(found) > FALSE_ALARM


def test_labels_of_every_class_stand_in_rows():
    stack = model(labeled_rbm(9, 4, 3))
    assert torch.equal(one_hot(stack, "all", 2).argmax(1), torch.tensor([0, 0, 1, 1, 2, 2]))
    assert torch.equal(one_hot(stack, 1, 2), torch.tensor([[0.0, 1, 0]] * 2))
    for label in (-1, 3, "al"):
        with pytest.raises(UsageError, match=f"label={label!r}: the model has labels 0 to 2"):
            one_hot(stack, label, 2)
    for label in (1, "all"):
        with pytest.raises(UsageError, match=f"label={label!r}: the model has no label units"):
            one_hot(model(rbm(9, 4)), label, 2)
