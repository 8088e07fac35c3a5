"""Measures of single features, against cases whose answer is known."""

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score

from convdbn.evaluation.selectivity import (
    conditional_entropy,
    lifetime_sparseness,
    mutual_information,
    precision_recall_area,
)

LABELS = np.repeat([0, 1, 2, 3], 100)


def test_precision_recall_of_perfect_chance_and_reversed_scores():
    positive = np.arange(2000) % 4 == 0
    random = np.random.default_rng(0).random(2000)
    area = precision_recall_area(np.stack([positive, random, ~positive], 1).astype(np.float32), positive)
    assert area[0] == 1
    # Chance is the share of positives; its standard deviation here is below .015.
    assert area[1] == pytest.approx(0.25, abs=0.06)
    assert area[2] == 0.25


def test_bits_of_a_feature_for_one_class_and_for_half_of_them():
    one, half = LABELS == 0, LABELS < 2
    noise = np.random.default_rng(0).random(400)
    scores = np.stack([one, half, noise], 1).astype(np.float32)
    bits = mutual_information(scores, LABELS)
    assert bits[0] == pytest.approx(2 - 0.75 * np.log2(3))  # H(class) - H(class | one)
    assert bits[1] == pytest.approx(1)
    assert bits[2] < 0.05
    assert conditional_entropy(scores, LABELS) == pytest.approx(2 - bits)


def test_bits_are_those_of_the_best_of_twenty_thresholds():
    random = np.random.default_rng(1)
    labels = random.choice([0, 2, 3], 150)  # none of class 1
    scores = np.round(random.random((150, 4)) + 0.3 * labels[:, None] * [0, 1, 2, 0], 1).astype(np.float32)
    scores[:, 3] = 0.5  # says nothing
    bits = mutual_information(scores, labels)
    for column, found in zip(scores.T, bits, strict=True):
        thresholds = np.quantile(column, np.linspace(0, 1, 22)[1:-1])
        best = max(mutual_info_score(labels, column > threshold) for threshold in thresholds)
        assert found == pytest.approx(best / np.log(2), abs=1e-12)
    assert bits[3] == 0


def test_sparseness_of_units_for_all_pictures_for_one_and_for_none():
    activities = torch.zeros(5, 5)
    activities[:, 0] = 0.3  # all alike
    activities[2, 1] = 0.8  # one alone
    activities[:, 3] = torch.tensor([1.0, 1, 0, 0, 0])
    activities[:, 4] = -activities[:, 3]
    # (1 - (2 / 5)^2 / (2 / 5)) / (1 - 1 / 5)
    assert lifetime_sparseness(activities).tolist() == pytest.approx([0, 1, 0, 0.75, 0.75])
    assert lifetime_sparseness(activities[:1]).tolist() == [0] * 5
