import math

import numpy as np
import pytest
import torch

from convdbn.evaluation.gabor import fit_gabors


def gabor(side, row, column, angle, across, along, frequency, phase):
    """Written from the definition in polar form, not by the fit's own formula."""
    rows, columns = torch.meshgrid(torch.arange(side) - row, torch.arange(side) - column, indexing="ij")
    wave = torch.tensor([math.cos(angle), math.sin(angle)])
    u = columns * wave[0] + rows * wave[1]
    squared = rows**2 + columns**2
    v_squared = squared - u**2
    return torch.exp(-(u**2) / (2 * across**2) - v_squared / (2 * along**2)) * torch.cos(
        2 * math.pi * frequency * u + phase
    )


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.1, math.pi / 2, 2.0, 2.9])
@pytest.mark.parametrize(("frequency", "phase"), [(0.1, 0.0), (0.18, 1.2), (0.25, -math.pi / 2)])
def test_a_gabor_is_found(angle, frequency, phase):
    found = fit_gabors(3.7 * gabor(12, 5.2, 6.1, angle, 1.8, 2.6, frequency, phase)[None])
    assert found.explained[0] > 0.999
    turned = abs(found.orientation[0] - angle) % math.pi
    assert min(turned, math.pi - turned) < 0.02
    assert found.frequency[0] == pytest.approx(frequency, abs=0.005)
    assert found.center[0] == pytest.approx([5.2, 6.1], abs=0.1)


def test_the_share_that_is_explained_is_that_of_the_signal():
    clean = gabor(12, 5.5, 5.5, 0.7, 2.0, 2.5, 0.15, 0.5)
    noise = torch.randn(12, 12, generator=torch.Generator().manual_seed(0)) * clean.std() * 0.5
    share = float(clean.var() / (clean + noise).var())
    found = fit_gabors((clean + noise)[None])
    assert found.explained[0] == pytest.approx(share, abs=0.06)


def test_noise_and_checkerboards_are_no_edges():
    noise = torch.randn(6, 10, 10, generator=torch.Generator().manual_seed(1))
    corners = torch.zeros(1, 10, 10)
    corners[0, 0, 0] = corners[0, 0, -1] = corners[0, -1, 0] = corners[0, -1, -1] = 1
    assert np.all(fit_gabors(torch.cat([noise, corners])).explained < 0.5)


def test_an_empty_filter_does_not_divide_by_zero():
    assert np.isfinite(fit_gabors(torch.zeros(1, 6, 6)).explained).all()
