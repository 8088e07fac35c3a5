"""What the bounds of the likelihood take; their values are among the laws."""

import pytest
import torch
from small import generator, make

from convdbn.errors import UsageError
from convdbn.sampling import exact
from convdbn.sampling.bound import pseudo_log_likelihood, unnormalized, unnormalized_stack

V, H = torch.zeros(2, 4).double(), torch.zeros(2, 3).double()
NO_LAYERS = [
    (V.numpy(), r"=ndarray: is no tensor; write torch.as_tensor"),
    (V.tolist(), r"=list: is no tensor"),
    (V[0], r"=\(4,\): is not \(batch, 4\).*add the batch dimension"),
    (V[:, :3], r"=\(2, 3\): is not \(batch, 4\)"),
    (V.long(), r"=torch.int64 on cpu: the machine is torch.float64 on cpu; write x.to"),
]


@pytest.mark.parametrize(("visible", "message"), NO_LAYERS)
def test_what_is_no_visible_layer(visible, message):
    machine, _ = make("rbm")
    with pytest.raises(UsageError, match=rf"given\[0\]{message}"):
        unnormalized(machine, (visible, None))
    with pytest.raises(UsageError, match=rf"visible{message}"):
        unnormalized_stack([machine], visible, generator=generator())
    with pytest.raises(UsageError, match=rf"visible{message}"):
        pseudo_log_likelihood(machine, visible, generator=generator())


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (V, {}, r"given=Tensor: needs one tensor for each of 2 layers; give a tuple"),
        ((V,), {}, r"given=1 layers: needs one tensor for each of 2 layers"),
        ((V, H[:1]), {}, r"given\[1\]=\(1, 3\): has a batch of 1, a layer before 2; give one batch"),
        ((None, None), {}, r"given=None: no layer has a state; give at least one"),
        ((V, None), {"sweeps": -1}, r"sweeps=-1: is no such number; take a whole number from 1 up"),
    ],
)
def test_what_the_bound_does_not_take(given, options, message):
    with pytest.raises(UsageError, match=message):
        unnormalized(make("rbm")[0], given, **options)


def test_what_the_bound_of_a_stack_does_not_take():
    with pytest.raises(UsageError, match=r"machines=\[\]: a stack has at least one; give them from the lowest"):
        unnormalized_stack([], V, generator=generator())
    with pytest.raises(UsageError, match=r"generator=None: the draws need one on cpu; give torch.Generator"):
        unnormalized_stack([make("rbm")[0]], V)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rbm", {}, r"generator=None: the draws need one on cpu; give torch.Generator"),
        (
            "rbm",
            {"generator": generator(), "pixels": -1},
            r"pixels=-1: is no such number; take",
        ),
        (
            "dbm",
            {"generator": generator()},
            r"machine=3 layers over bernoulli units: is no restricted one",
        ),
        (
            "gaussian_rbm",
            {"generator": generator()},
            r"machine=2 layers over gaussian units.*take convdbn",
        ),
    ],
)
def test_what_the_pseudo_likelihood_does_not_take(name, options, message):
    machine, shapes = make(name)
    with pytest.raises(UsageError, match=message):
        pseudo_log_likelihood(machine, torch.zeros(2, *shapes[0]).double(), **options)


@torch.no_grad()
def test_the_bound_of_a_restricted_machine_and_of_a_stack_of_one_is_the_likelihood():
    machine, shapes = make("rbm")
    expected = exact.log_likelihood(machine, V, shapes) + exact.log_z(machine, shapes)
    torch.testing.assert_close(unnormalized(machine, (V, None)), expected)
    torch.testing.assert_close(unnormalized_stack([machine], V, generator=generator()), expected)
