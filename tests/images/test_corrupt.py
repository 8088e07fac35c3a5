"""Noise and occlusion: as much as was asked for, and the same for a picture in any batch."""

import pytest
import torch

from convdbn.errors import UsageError
from convdbn.images import ArrayImages
from convdbn.images.corrupt import Corrupted

GRAY = ArrayImages(torch.full((50, 3, 20, 20), 0.5), torch.arange(50))


def test_nothing_asked_nothing_changed():
    assert (Corrupted(GRAY)[[3, 1]] == GRAY[[3, 1]]).all()


def test_share_of_noise_and_its_values():
    noisy = Corrupted(GRAY, noise=0.2)[range(50)]
    changed = noisy != 0.5
    # 20,000 pixels: a standard deviation of .003.
    assert changed[:, 0].float().mean() == pytest.approx(0.2, abs=0.015)
    assert (changed[:, 0] == changed[:, 2]).all()
    values = noisy[changed]
    assert values.min() >= 0 and values.max() <= 1 and values.mean() == pytest.approx(0.5, abs=0.03)


def test_occlusion_covers_a_square_somewhere():
    hidden = Corrupted(GRAY, occlusion=0.25)[range(50)] == 0
    assert (hidden.flatten(1).sum(1) == 3 * 10 * 10).all()
    assert len(hidden.flatten(1).unique(dim=0)) > 20
    assert hidden.float().mean(0).max() > 0.2 and hidden[:, :, 9:11, 9:11].any()


def test_a_picture_is_the_same_in_any_batch_and_other_with_another_seed():
    worse = Corrupted(GRAY, noise=0.3, occlusion=0.1)
    assert (worse[[7, 2]][1] == worse[[2]][0]).all()
    assert (worse[[7]] != worse[[2]]).any()
    assert (worse[[7]] != Corrupted(GRAY, noise=0.3, occlusion=0.1, seed=1)[[7]]).any()
    assert (GRAY[[7]] == 0.5).all()


def test_labels_stay_and_shares_are_checked():
    worse = Corrupted(GRAY, noise=0.3)
    assert len(worse) == 50 and worse.labels is GRAY.labels and worse.classes == GRAY.classes
    with pytest.raises(UsageError, match=r"noise=1.5: must be a share between 0 and 1"):
        Corrupted(GRAY, noise=1.5)
