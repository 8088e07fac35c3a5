"""The selectivity of single features, and their information about the class of a picture."""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score
from torch import Tensor

from convdbn.evaluation.classifiers import Labels, Rows

THRESHOLDS = 20
"""Number of thresholds on each feature, at equally spaced quantiles."""


def precision_recall_area(scores: Rows, positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Area under the precision-recall curve (average precision) of each column of `scores` as a detector."""
    return np.array([average_precision_score(positive, column) for column in scores.T])


def mutual_information(scores: Rows, labels: Labels) -> NDArray[np.float64]:
    """Mutual information, in bits, of the class and each column above or below its best threshold."""
    members = (labels == np.unique(labels)[:, None]).astype(np.float64)  # (C, N)
    bits = np.zeros(scores.shape[1])
    for threshold in np.quantile(scores, np.linspace(0, 1, THRESHOLDS + 2)[1:-1], axis=0):
        above = members @ (scores > threshold)
        joint = np.stack([above, members.sum(1, keepdims=True) - above]) / len(labels)  # (2, C, K)
        product = joint.sum(0, keepdims=True) * joint.sum(1, keepdims=True)
        ratio = np.divide(joint, product, out=np.ones_like(joint), where=joint > 0)
        bits = np.maximum(bits, (joint * np.log2(ratio)).sum((0, 1)))
    return bits


def lifetime_sparseness(activities: Tensor) -> Tensor:
    """Lifetime sparseness of each unit, `(N, U)` to `(U,)`: 0 if all pictures excite it equally, 1 if only one does.

    (1 - <r>^2 / <r^2>) / (1 - 1 / N) (Treves and Rolls 1991, as rescaled by Vinje and Gallant 2000); signed
    activities count by their magnitude, and a unit that is never on has 0.
    """
    r = activities.abs().double()
    count, square = len(r), r.square().mean(0)
    ratio = torch.where(square > 0, r.mean(0).square() / square.clamp(min=1e-300), 1)
    return ((1 - ratio) * count / max(count - 1, 1)).clamp(0, 1).to(activities)


def conditional_entropy(scores: Rows, labels: Labels) -> NDArray[np.float64]:
    """Conditional entropy, in bits, of the class given each column above or below its best threshold."""
    frequencies = np.bincount(labels)[np.unique(labels)] / len(labels)
    return float(-(frequencies * np.log2(frequencies)).sum()) - mutual_information(scores, labels)
