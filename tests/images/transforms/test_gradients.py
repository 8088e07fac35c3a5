"""Pictures learn through the transforms: gradients against finite differences, and numbers at constant pictures."""

import pytest
import torch

from convdbn.images import build_transform

STEPS = {
    "gray": [{"kind": "gray"}],
    "resize": [{"kind": "resize", "size": 5}],
    "pad": [{"kind": "pad", "size": 1, "mode": "reflect"}],
    "whiten": [{"kind": "whiten", "cutoff": 0.3}],
    "local_contrast": [{"kind": "local_contrast", "size": 3, "epsilon": 0.1}],
    "patch_whiten": [{"kind": "patch_whiten", "size": 3}],
    "invert": [{"kind": "invert"}],
    "all": [{"kind": "pad", "size": 1}, {"kind": "whiten"}, {"kind": "local_contrast", "size": 3}],
}


def random_pictures(channels):
    x = torch.rand(2, channels, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return x.requires_grad_()


@pytest.mark.parametrize("name", STEPS)
def test_gradients_are_those_of_finite_differences(name):
    transform = build_transform(STEPS[name]).double()
    transform.fit([random_pictures(1).detach()] if name == "patch_whiten" else [])
    assert torch.autograd.gradcheck(transform, (random_pictures(3 if name == "gray" else 1),))


@pytest.mark.parametrize("name", ["whiten", "local_contrast", "all"])
def test_a_constant_picture_has_a_gradient_and_leaves_its_neighbor_as_it_is(name):
    transform = build_transform(STEPS[name]).double()
    x = random_pictures(1).detach()
    alone = transform(x[1:])
    x[0] = 0.5
    x.requires_grad_()
    out = transform(x)
    torch.testing.assert_close(out[1:], alone)
    (slope,) = torch.autograd.grad(out.square().sum(), x)
    assert slope.isfinite().all()


def test_zca():
    x = random_pictures(1)
    transform = build_transform([{"kind": "zca"}]).double()
    transform.fit([torch.rand(60, 1, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))])
    assert torch.autograd.gradcheck(transform, (x,))
