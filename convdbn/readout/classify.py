"""Classifiers on rows of features, their hyper-parameters chosen on the labelled rows alone."""

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.svm import SVC, LinearSVC

from convdbn.errors import UsageError

Kind = Literal["svm", "linear-svm", "logistic"]
Rows = NDArray[np.float32]
Labels = NDArray[np.int64]

FOLDS = 5
SEARCH = 1000
"""At most so many of the labelled rows choose the kernel's settings, which hardly change with their number."""
C = (1.0, 10.0, 100.0)
GAMMA = (0.5, 1.0, 2.0)
"""Width of the RBF kernel, as multiples of 1 / total variance of the labelled rows."""


def predict(kind: Kind, rows: Rows, labels: Labels, unseen: Rows) -> tuple[Labels, dict[str, float]]:
    """Labels of the `unseen` rows, and the hyper-parameters that cross-validation on `rows` chose.

    `svm` has an RBF kernel and votes between pairs of classes (libsvm); `linear-svm` and `logistic` are linear.
    Rows are scaled to a total variance of 1, so that the same hyper-parameters suit every kind of feature.
    """
    if kind not in get_args(Kind):
        raise UsageError(f"classifier={kind!r}: choose from {', '.join(get_args(Kind))}")
    if min(np.bincount(labels)[np.unique(labels)]) < 2 or len(np.unique(labels)) < 2:
        raise UsageError("labels: at least two classes with two labelled pictures each are needed; label more")
    scale = np.float32(1 / max(np.sqrt(rows.var(0).sum()), 1e-12))
    centre = rows.mean(0)
    rows, unseen = (rows - centre) * scale, (unseen - centre) * scale
    if kind == "svm":
        return _rbf_svm(rows, labels, unseen)
    model = LinearSVC(dual=True, max_iter=5000, random_state=0) if kind == "linear-svm" else LogisticRegression()
    search = GridSearchCV(model, {"C": C}, cv=_folds(labels)).fit(rows, labels)
    return search.predict(unseen), search.best_params_


def _rbf_svm(rows: Rows, labels: Labels, unseen: Rows) -> tuple[Labels, dict[str, float]]:
    """Every distance is computed once, for all folds and settings."""
    distances = euclidean_distances(rows, squared=True)
    some = _some(labels)
    tried, known = distances[np.ix_(some, some)], labels[some]
    folds = list(_folds(known).split(tried, known))
    scores: dict[tuple[float, float], float] = {}
    for gamma in GAMMA:
        kernel = np.exp(-gamma * tried)
        for c in C:
            scores[gamma, c] = float(np.mean([_score(kernel, known, c, *fold) for fold in folds]))
    gamma, c = max(scores, key=lambda setting: scores[setting])
    machine = SVC(C=c, kernel="precomputed").fit(np.exp(-gamma * distances), labels)
    predicted = machine.predict(np.exp(-gamma * euclidean_distances(unseen, rows, squared=True)))
    return predicted, {"gamma": gamma, "C": c}


def _some(labels: Labels) -> NDArray[np.int64]:
    """At most `SEARCH` rows, with every class in its share."""
    if len(labels) <= SEARCH:
        return np.arange(len(labels))
    return train_test_split(np.arange(len(labels)), train_size=SEARCH, stratify=labels, random_state=0)[0]


def _folds(labels: Labels) -> StratifiedKFold:
    smallest = int(min(np.bincount(labels)[np.unique(labels)]))
    return StratifiedKFold(min(FOLDS, smallest), shuffle=True, random_state=0)


def _score(kernel: Rows, labels: Labels, c: float, train: Any, test: Any) -> float:
    machine = SVC(C=c, kernel="precomputed").fit(kernel[np.ix_(train, train)], labels[train])
    return float(machine.score(kernel[np.ix_(test, train)], labels[test]))
