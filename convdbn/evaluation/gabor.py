"""Fits of Gabor functions: how close a filter is to a localized, oriented edge."""

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from torch import Tensor

Array = NDArray[np.float64]

ORIENTATIONS, FREQUENCIES = 6, (0.08, 0.16, 0.28)
"""Starts of the search: the number of orientations, and the frequencies in cycles per pixel."""
WIDTHS = (0.7, 20.0)
"""Bounds of the standard deviations of the envelope, in pixels."""


class Gabors(NamedTuple):
    """For each filter, the share of its variance that the best Gabor function explains, and the orientation of this
    function in [0, pi), its frequency in cycles per pixel, and its center (row, column)."""

    explained: Array
    orientation: Array
    frequency: Array
    center: Array


def fit_gabors(filters: Tensor) -> Gabors:
    """The Gabor function nearest to each filter `(n, h, w)`, by least squares from several starts.

    exp(-(u^2 / s_u^2 + v^2 / s_v^2) / 2) times a cosine and a sine of 2 pi f u, in coordinates u, v rotated by the
    orientation about the center (Daugman 1985). Each step of the search solves for both amplitudes exactly.
    """
    fits = [_fit(x / max(float(np.abs(x).max()), 1e-12)) for x in filters.double().cpu().numpy()]
    explained, parameters = (np.array(part) for part in zip(*fits, strict=True))
    angle = np.where(parameters[:, 5] < 0, parameters[:, 2] + np.pi, parameters[:, 2]) % np.pi
    return Gabors(explained, angle, np.abs(parameters[:, 5]), parameters[:, :2])


def _fit(image: Array) -> tuple[float, Array]:
    height, width = image.shape
    energy, (rows, columns) = image**2 + 1e-12, np.mgrid[:height, :width].astype(float)
    center = (energy * rows).sum() / energy.sum(), (energy * columns).sum() / energy.sum()
    low = [-1.0, -1.0, -2 * np.pi, WIDTHS[0], WIDTHS[0], 0.0]
    high = [float(height), float(width), 2 * np.pi, WIDTHS[1], WIDTHS[1], 0.5]
    angles = np.pi * np.arange(ORIENTATIONS) / ORIENTATIONS
    starts = [
        [*center, a, min(height, width) / 5, min(height, width) / 4, f]
        for a, f in itertools.product(angles, FREQUENCIES)
    ]
    # Only the most promising starts are optimized.
    starts.sort(key=lambda start: float(np.square(_residual(np.array(start), image, rows, columns)).sum()))
    fits = [
        least_squares(_residual, start, bounds=(low, high), args=(image, rows, columns), max_nfev=60)
        for start in starts[:4]
    ]
    best = min(fits, key=lambda fit: fit.cost)
    total = float(np.square(image - image.mean()).sum())
    return 1 - 2 * float(best.cost) / max(total, 1e-12), best.x


def _residual(parameters: Array, image: Array, rows: Array, columns: Array) -> Array:
    row, column, angle, across, along, frequency = parameters
    u = (columns - column) * np.cos(angle) + (rows - row) * np.sin(angle)
    v = (rows - row) * np.cos(angle) - (columns - column) * np.sin(angle)
    envelope = np.exp(-((u / across) ** 2 + (v / along) ** 2) / 2)
    waves = np.stack([envelope * np.cos(2 * np.pi * frequency * u), envelope * np.sin(2 * np.pi * frequency * u)], 2)
    basis = waves.reshape(-1, 2)
    amplitudes = np.linalg.lstsq(basis, image.ravel(), rcond=None)[0]
    residual: NDArray[np.float64] = basis @ amplitudes - image.ravel()
    return residual
