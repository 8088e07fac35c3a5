"""What rates, momentum, sigma and sweeps are over a training, by hand."""

import pytest

from convdbn.learning.schedule import Schedule
from convdbn.recipes import LayerSettings

SETTINGS = LayerSettings(
    rate=0.4, rate_end=0.1, momentum=0.5, momentum_end=0.9, sigma=0.8, sigma_end=0.2, k=1, k_end=5
)


@pytest.mark.parametrize(
    ("progress", "rate", "momentum", "sigma", "sweeps"),
    [(0.0, 0.4, 0.5, 0.8, 1), (0.35, 0.295, 0.9, 0.4, 2), (0.7, 0.19, 0.9, 0.2, 4), (1.0, 0.1, 0.9, 0.2, 5)],
)
def test_values_by_hand(progress, rate, momentum, sigma, sweeps):
    schedule = Schedule(SETTINGS)
    assert schedule.rate(progress) == pytest.approx(rate)
    assert schedule.momentum(progress) == momentum
    assert schedule.sigma(progress) == pytest.approx(sigma)
    assert schedule.sweeps(progress) == sweeps
