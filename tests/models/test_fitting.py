"""Sizes that fit filters and pooling blocks, by trying them all on bare convolutions and poolings."""

import pytest
import torch
from torch.nn import functional as F

from convdbn.errors import DataError, UsageError
from convdbn.models.fitting import fitted
from convdbn.recipes.geometry import Geometry, output_side, padded_size, receptive_field, trimmed_size

LAYERS = {
    "one": [Geometry((3, 2), 2)],
    "two": [Geometry((3, 3), 2), Geometry((2, 4), 3)],
    "dense above": [Geometry((5, 5), 2), Geometry((0, 0), 1)],
}


def fits(size, layers):
    """Whether bare convolutions and poolings take maps of this size without a rest."""
    x = torch.zeros(1, 1, *size)
    for layer in layers:
        if layer.dense:
            return True
        if any(side < kernel for side, kernel in zip(x.shape[2:], layer.kernel, strict=True)):
            return False
        x = F.conv2d(x, torch.zeros(1, 1, *layer.kernel))
        if any(side % layer.pool for side in x.shape[2:]):
            return False
        x = F.max_pool2d(x, layer.pool)
    return True


@pytest.mark.parametrize("name", LAYERS)
def test_trimmed_and_padded_sizes_are_the_nearest_that_fit(name):
    layers = LAYERS[name]
    for axis in (0, 1):
        size = [40, 40]
        legal = []
        for side in range(1, 60):
            size = [side if index == axis else trimmed_size((40, 40), layers)[index] for index in (0, 1)]
            if fits(size, layers):
                legal.append(side)
        assert legal == [side for side in range(1, 60) if output_side(side, layers, axis)]
        for side in range(legal[0], 50):
            assert trimmed_size((side, side), layers)[axis] == max(n for n in legal if n <= side)
            assert padded_size((side, side), layers)[axis] == min(n for n in legal if n >= side)
        assert padded_size((1, 1), layers)[axis] == legal[0]


def test_fitted_pictures():
    layers = [Geometry((3, 3), 2)]
    x = torch.arange(25.0).view(1, 1, 5, 5)
    assert torch.equal(fitted(x, layers, "trim"), x[..., :4, :4])
    assert torch.equal(fitted(x, layers, "pad")[0, 0, 5], torch.tensor([20.0, 21, 22, 23, 24, 24]))
    assert fitted(x[..., :4, :4], layers, "pad").shape == (1, 1, 4, 4)
    with pytest.raises(DataError, match=r"images=5x5 .*: do not fit filters 3x3, blocks 2x2; .*4 or 6"):
        fitted(x, layers)
    with pytest.raises(UsageError, match="sizes='crop': no such choice; choose from error, trim, pad"):
        fitted(x, layers, "crop")


def test_the_receptive_field_of_a_square_is_that_of_a_unit_with_a_filter_as_large():
    """By hand: 4 positions of 2 x 2 blocks over filters of 3 see 10 pixels, and crops of maps are cut so."""
    below = [Geometry((3, 3), 2)]
    assert receptive_field([*below, Geometry((4, 4), 1)], 0) == (10, 2)
    assert receptive_field([Geometry((4, 4), 1)], 0) == (4, 1)
    assert receptive_field([Geometry((3, 5), 2), Geometry((2, 2), 3)], 1) == (8, 2)
