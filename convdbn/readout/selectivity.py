"""What single features say about the class of a picture."""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, mutual_info_score
from torch import Tensor

from convdbn.readout.classify import Labels, Rows

THRESHOLDS = 20
"""Thresholds tried on each feature, at equal shares of the pictures."""


def peak_scores(maps: Tensor, *, regions: int, quantile: float) -> Tensor:
    """How strongly each map responds somewhere, `(B, K)` (Lee et al. 2009, section 4.4).

    The map is cut into `regions` x `regions` parts; the score is the highest `quantile` of the responses in a part.
    """
    rows = maps.tensor_split(regions, 2)
    parts = [part.flatten(2) for row in rows for part in row.tensor_split(regions, 3)]
    return torch.stack([part.quantile(quantile, 2) for part in parts]).amax(0)


def precision_recall_area(scores: Rows, positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Area under the precision-recall curve (average precision) of each column of `scores` as a detector."""
    return np.array([average_precision_score(positive, column) for column in scores.T])


def mutual_information(scores: Rows, labels: Labels) -> NDArray[np.float64]:
    """Bits that each column, above or below its best threshold, says about the class."""
    shares = np.linspace(0, 1, THRESHOLDS + 2)[1:-1]
    bits = [
        max(mutual_info_score(labels, column > threshold) for threshold in np.quantile(column, shares))
        for column in scores.T
    ]
    return np.array(bits) / np.log(2)


def conditional_entropy(scores: Rows, labels: Labels) -> NDArray[np.float64]:
    """Bits about the class that are still missing once a column's best threshold is known."""
    frequencies = np.bincount(labels)[np.unique(labels)] / len(labels)
    return float(-(frequencies * np.log2(frequencies)).sum()) - mutual_information(scores, labels)
