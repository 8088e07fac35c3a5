"""Random distortions: they move pictures about, within the stated range, and not always alike."""

import pytest
import torch

from convdbn.images.augment import ELASTIC, SHIFT, STRETCH, distorted


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def spot(count=200, side=41):
    """Pictures of one soft spot in the center."""
    x = torch.arange(side) - side // 2
    blob = torch.exp(-(x[:, None] ** 2 + x**2) / 18.0)
    return blob.expand(count, 1, side, side).clone()


def centers(pictures):
    """Center of mass, as a share of the side from the middle: `(B, 2)`."""
    side = pictures.shape[-1]
    place = (torch.arange(side) - side // 2) / side
    mass = pictures.sum((1, 2, 3))
    return torch.stack(
        [(pictures.sum((1, 2)) * place).sum(1) / mass, (pictures.sum((1, 3)) * place).sum(1) / mass], 1
    )


def test_strength_0_leaves_pictures_as_they_are():
    pictures = torch.rand(5, 3, 9, 12, generator=seeded())
    assert (distorted(pictures, 0, generator=seeded()) == pictures).all()


def test_shape_range_and_seed():
    pictures = torch.rand(5, 3, 9, 12, generator=seeded())
    first, again, other = (distorted(pictures, 1, generator=seeded(s)) for s in (1, 1, 2))
    assert first.shape == pictures.shape
    assert first.min() >= 0 and first.max() <= 1
    assert (first == again).all() and not torch.allclose(first, other)


@pytest.mark.parametrize("strength", [0.5, 1.0, 2.0])
def test_shifts_fill_their_range_and_no_more(strength):
    moved = centers(distorted(spot(), strength, generator=seeded())).abs()
    limit = strength * (SHIFT + ELASTIC) * (1 + strength * STRETCH)
    assert 0.5 * strength * SHIFT < moved.max() < 1.1 * limit


def test_every_picture_is_moved_in_its_own_way():
    moved = centers(distorted(spot(), 1, generator=seeded()))
    assert len(moved.round(decimals=4).unique(dim=0)) > 190
    # The mean of 200 uniform shifts has a standard error of SHIFT / sqrt(600): five of them, one false alarm in 1e6.
    assert moved.mean(0).abs().max() < 5 * (SHIFT + ELASTIC) / 600**0.5


def test_mirror_flips_about_half_and_no_more_than_left_to_right():
    pictures = torch.rand(1, 1, 6, 8, generator=seeded()).expand(400, 1, 6, 8)
    result = distorted(pictures, 0, mirror=True, generator=seeded())
    flipped = (result == pictures.flip(-1)).flatten(1).all(1)
    assert ((result == pictures).flatten(1).all(1) ^ flipped).all()
    assert 140 < flipped.sum() < 260  # six standard deviations
