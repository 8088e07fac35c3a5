"""What a model draws, against the exact distribution of small ones."""

import torch
from small import generator

from convdbn.images import build_transform
from convdbn.models.generate import generate
from convdbn.models.machines import conv_rbm, dbm, rbm
from convdbn.models.stack import Stack
from convdbn.sampling import exact


def model(*machines, picture=(1, 3, 3)):
    for machine in machines:
        for seed, parameter in enumerate(machine.parameters()):
            parameter.data.normal_(0, 1.0, generator=generator(seed))
    return Stack(build_transform([]), list(machines), picture)


def drawn(stack, count=8, frames=1, seed=0, **options):
    return list(generate(stack, count, burn_in=30, sweeps=2, frames=frames, generator=generator(seed), **options))


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
