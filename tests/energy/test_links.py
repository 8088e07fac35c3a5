"""The laws of links: adjoint, gradient, shapes, and agreement with loops written out."""

import itertools

import pytest
import torch
from small import generator
from torch.nn import functional as F

from convdbn.energy import Conv, Dense, pooled

LINKS = {
    "dense": (Dense(5, 3), (5,)),
    "conv_gray": (Conv(1, 3, 3), (1, 6, 7)),
    "conv_color": (Conv(3, 2, (2, 4)), (3, 5, 6)),
    "conv_many": (Conv(5, 2, 2), (5, 4, 4)),
    "conv_pooled": (Conv(2, 3, 2, pool=2), (2, 6, 8)),
    "conv_pooled_many": (Conv(4, 3, (1, 2), pool=3), (4, 6, 9)),
}


def link_and_states(name):
    link, shape = LINKS[name]
    link = link.double()
    source = generator(0)
    link.weight.data = torch.randn(link.weight.shape, generator=source, dtype=torch.float64)
    x = torch.randn(4, *shape, generator=source, dtype=torch.float64)
    y = torch.randn(4, *link.up_shape(shape), generator=source, dtype=torch.float64)
    return link, x, y


@pytest.mark.parametrize("name", LINKS)
def test_down_is_the_adjoint_of_up(name):
    link, x, y = link_and_states(name)
    assert link.down(y).shape == x.shape
    above, below = (link.up(x) * y).flatten(1).sum(1), (link.down(y) * x).flatten(1).sum(1)
    torch.testing.assert_close(above, below)


@pytest.mark.parametrize("name", LINKS)
def test_correlate_is_the_gradient_of_the_coupling(name):
    link, x, y = link_and_states(name)
    (gradient,) = torch.autograd.grad((link.up(x) * y).sum(), link.weight)
    before = torch.randn(link.weight.shape, generator=generator(1), dtype=torch.float64)
    with torch.no_grad():
        added = link.correlate(x, y, out=before.clone())
        scaled = link.correlate(x, y, out=before.clone(), alpha=-0.5, beta=0.25)
    torch.testing.assert_close(added, before + gradient)
    torch.testing.assert_close(scaled, before / 4 - gradient / 2)


@pytest.mark.parametrize("name", LINKS)
def test_shapes(name):
    link, x, y = link_and_states(name)
    assert link.up(x).shape[1:] == link.up_shape(x.shape[1:])
    assert link.down(y).shape[1:] == link.down_shape(y.shape[1:])


def test_up_is_the_filter_laid_over_the_picture():
    link, x, _ = link_and_states("conv_color")
    field = link.up(x)
    height, width = link.weight.shape[2:]
    for k, i, j in itertools.product(range(2), range(field.shape[2]), range(field.shape[3])):
        expected = (x[:, :, i : i + height, j : j + width] * link.weight[k]).flatten(1).sum(1)
        torch.testing.assert_close(field[:, k, i, j], expected)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_both_ways_down_agree(channels):
    link = Conv(channels, 3, (3, 2)).double()
    link.weight.data = torch.randn(link.weight.shape, generator=generator(1), dtype=torch.float64)
    y = torch.randn(2, 3, 4, 5, generator=generator(2), dtype=torch.float64)
    torch.testing.assert_close(link.down(y), F.conv_transpose2d(y, link.weight))


def test_pooled_sums_blocks():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert pooled(x, 2).tolist() == [[[[10.0, 18.0], [42.0, 50.0]]]]
    assert pooled(x, 1) is x


def test_gradients_flow_through_every_pass():
    for name in LINKS:
        link, x, y = link_and_states(name)
        x.requires_grad_()
        y.requires_grad_()
        (link.up(x).square().sum() + link.down(y).square().sum()).backward()
        assert all(t.grad is not None and t.grad.isfinite().all() for t in (x, y, link.weight))


def test_pictures_smaller_than_the_filter_are_refused():
    with pytest.raises(ValueError, match=r"maps of 4x9 are smaller than a filter of 5x5.*larger pictures"):
        Conv(1, 2, 5).up_shape((1, 4, 9))
