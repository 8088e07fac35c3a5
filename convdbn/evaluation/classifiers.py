"""Classifiers on rows of features; cross-validation on the labeled rows alone selects the hyper-parameters."""

import itertools
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.svm import SVC, LinearSVC

from convdbn.errors import UsageError

Kind = Literal["svm", "linear-svm", "logistic", "ridge"]
Rows = NDArray[np.float32]
Labels = NDArray[np.int64]

FOLDS = 5
SEARCH = 1000
"""Maximal number of rows in the search for the kernel's settings, which hardly depend on this number."""
WHOLE = 10_000
"""Maximal number of labeled rows for which the whole kernel is in memory at once."""
C = (1.0, 10.0, 100.0)
ALPHA = (0.003, 0.01, 0.03, 0.1, 0.3)
GAMMA = (0.5, 1.0, 2.0)
"""Width of the RBF kernel, as multiples of 1 / total variance of the labeled rows."""
RIDGE_GAMMA = 0.5


def predict(kind: Kind, rows: Rows, labels: Labels, unseen: Rows) -> tuple[Labels, dict[str, float]]:
    """Labels of the `unseen` rows, and the hyper-parameters from cross-validation on `rows`.

    `svm` has an RBF kernel and one classifier for each pair of classes, which vote (libsvm). `ridge` is least squares
    on an RBF kernel for each class against the rest, with leave-one-out validation; with many classes it is by far
    the fastest, and with few pictures a class more accurate than votes of pairs. The others are linear.
    Rows are scaled to a total variance of 1, so that the same hyper-parameters suit every kind of feature.
    """
    if kind not in get_args(Kind):
        raise UsageError(f"classifier={kind!r}: choose from {', '.join(get_args(Kind))}")
    if min(np.bincount(labels)[np.unique(labels)]) < 2 or len(np.unique(labels)) < 2:
        raise UsageError("labels: are too few; label at least two classes with two pictures each")
    scale = np.float32(1 / max(np.sqrt(rows.var(0).sum()), 1e-12))
    center = rows.mean(0)
    rows, unseen = (rows - center) * scale, (unseen - center) * scale
    if kind == "svm":
        return _rbf_svm(rows, labels, unseen)
    if kind == "ridge":
        return _ridge(rows, labels, unseen)
    model = LinearSVC(dual=True, max_iter=5000, random_state=0) if kind == "linear-svm" else LogisticRegression()
    search = GridSearchCV(model, {"C": C}, cv=_folds(labels)).fit(rows, labels)
    return search.predict(unseen), search.best_params_


def _ridge(rows: Rows, labels: Labels, unseen: Rows) -> tuple[Labels, dict[str, float]]:
    """Kernel least squares on targets of +-1; one eigendecomposition gives the leave-one-out errors for every alpha.

    The leave-one-out residual of a row is its dual coefficient over the diagonal of the inverse (Rifkin and Lippert
    2007).
    """
    if len(rows) > WHOLE:
        raise UsageError(f"classifier='ridge': takes at most {WHOLE} labeled pictures, not {len(rows)}; choose svm")
    classes = np.unique(labels)
    targets = np.where(labels[:, None] == classes, 1, -1).astype(np.float64)
    prior = targets.mean(0)
    values, vectors = np.linalg.eigh(_gaussian(rows, rows).astype(np.float64))
    projection = vectors.T @ (targets - prior)
    best_error, best_alpha, dual = np.inf, 0.0, projection
    for alpha in ALPHA:
        inverse = 1 / (values.clip(min=0) + alpha)
        coefficients = vectors @ (inverse[:, None] * projection)
        error = float(np.square(coefficients / (vectors**2 @ inverse)[:, None]).mean())
        if error < best_error:
            best_error, best_alpha, dual = error, alpha, coefficients
    return classes[(_gaussian(unseen, rows) @ dual + prior).argmax(1)], {"alpha": best_alpha}


def _gaussian(rows: Rows, others: Rows) -> Rows:
    """The kernel of `ridge` in single precision, which is enough for rows of one scale and takes half the time."""
    squared = np.square(rows).sum(1)[:, None] + np.square(others).sum(1) - 2 * rows @ others.T
    kernel: Rows = np.exp(-RIDGE_GAMMA * squared.clip(min=0))
    return kernel


def _rbf_svm(rows: Rows, labels: Labels, unseen: Rows) -> tuple[Labels, dict[str, float]]:
    """Settings from at most `SEARCH` rows; all folds and settings share one computation of their distances."""
    some = _some(labels)
    distances, some_labels = euclidean_distances(rows[some], squared=True), labels[some]
    folds = list(_folds(some_labels).split(distances, some_labels))
    scores: dict[tuple[float, float], float] = {}
    for gamma in GAMMA:
        kernel = np.exp(-gamma * distances)
        for c in C:
            scores[gamma, c] = float(np.mean([_score(kernel, some_labels, c, *fold) for fold in folds]))
    gamma, c = max(scores, key=lambda setting: scores[setting])
    predicted = (_whole if len(rows) <= WHOLE else _pairs)(rows, labels, unseen, gamma, c)
    return predicted, {"gamma": gamma, "C": c}


def _kernel(rows: Rows, others: Rows, gamma: float) -> Rows:
    kernel: Rows = np.exp(-gamma * euclidean_distances(rows, others, squared=True))
    return kernel


def _whole(rows: Rows, labels: Labels, unseen: Rows, gamma: float, c: float) -> Labels:
    machine = SVC(C=c, kernel="precomputed").fit(_kernel(rows, rows, gamma), labels)
    predicted: Labels = machine.predict(_kernel(unseen, rows, gamma))
    return predicted


def _pairs(rows: Rows, labels: Labels, unseen: Rows, gamma: float, c: float) -> Labels:
    """The same votes, with the kernel of only two classes in memory at a time; each block is computed once."""
    classes = np.unique(labels)
    members = [rows[labels == name] for name in classes]
    within = [_kernel(own, own, gamma) for own in members]
    votes = np.zeros((len(unseen), len(classes)), np.int64)
    for first, second in itertools.combinations(range(len(classes)), 2):
        across = _kernel(members[first], members[second], gamma)
        kernel = np.block([[within[first], across], [across.T, within[second]]])
        is_second = np.repeat([0, 1], [len(members[first]), len(members[second])])
        machine = SVC(C=c, kernel="precomputed").fit(kernel, is_second)
        vectors = np.concatenate([members[first], members[second]])[machine.support_]
        margin = _kernel(unseen, vectors, gamma) @ machine.dual_coef_[0] + machine.intercept_
        votes[np.arange(len(unseen)), np.where(margin > 0, second, first)] += 1
    predicted: Labels = classes[votes.argmax(1)]
    return predicted


def _some(labels: Labels) -> NDArray[np.int64]:
    """Indices of at most `SEARCH` rows, stratified by class."""
    indices = np.arange(len(labels))
    if len(labels) <= SEARCH:
        return indices
    some: NDArray[np.int64] = train_test_split(indices, train_size=SEARCH, stratify=labels, random_state=0)[0]
    return some


def _folds(labels: Labels) -> StratifiedKFold:
    smallest = int(min(np.bincount(labels)[np.unique(labels)]))
    return StratifiedKFold(min(FOLDS, smallest), shuffle=True, random_state=0)


def _score(kernel: Rows, labels: Labels, c: float, train: Any, test: Any) -> float:
    machine = SVC(C=c, kernel="precomputed").fit(kernel[np.ix_(train, train)], labels[train])
    return float(machine.score(kernel[np.ix_(test, train)], labels[test]))
