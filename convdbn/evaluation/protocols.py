"""Protocols: the error of a classifier on the features of a network, with few labels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from convdbn.errors import UsageError
from convdbn.evaluation.baselines import KMeansPatches, Pixels, with_random_filters
from convdbn.evaluation.classifiers import Kind, Labels, Rows, predict
from convdbn.images import Images, Pipeline
from convdbn.images.splits import labeled, labels_of
from convdbn.models.extract import Network, describe
from convdbn.models.pyramid import SpatialPyramid
from convdbn.models.stack import Stack

PCA_COMPONENTS = 50
MOST_TESTED = 50
"""Maximal number of pictures of each class that `class_accuracy` classifies, so that large classes cost no more."""

Draws = Mapping[int, Sequence[NDArray[np.int64]]]
"""For each number of labels, the indices of the labeled pictures in each draw."""


def draw_labeled(labels: Labels, counts: Sequence[int], draws: int, *, seed: int) -> Draws:
    """`draws` results of `labeled` for each count; a single one for the count of all pictures."""
    return {
        count: [labeled(labels, count, seed=seed + draw) for draw in range(draws if count < len(labels) else 1)]
        for count in counts
    }


def by_labels(
    rows: Rows, labels: Labels, test_rows: Rows, test_labels: Labels, draws: Draws, *, classifier: Kind
) -> dict[str, dict[str, Any]]:
    """Test error in percent of a classifier that learns from the labels of the rows in `draws` alone.

    For each count: the mean error, its standard error over the draws (None for a single draw), the errors of the
    draws, and the hyper-parameters that cross-validation selected in each draw.
    """
    results: dict[str, dict[str, Any]] = {}
    for count, indices in draws.items():
        errors, settings = [], []
        for index in indices:
            predicted, best = predict(classifier, rows[index], labels[index], test_rows)
            errors.append(100 * float(np.mean(predicted != test_labels)))
            settings.append(best)
        se = float(np.std(errors, ddof=1) / np.sqrt(len(errors))) if len(errors) > 1 else None
        results[str(count)] = {"error": float(np.mean(errors)), "se": se, "errors": errors, "chosen": settings}
    return results


def class_accuracy(
    rows: Rows, labels: Labels, per_class: int, *, draws: int, classifier: Kind = "linear-svm", seed: int = 0
) -> list[float]:
    """Accuracy in percent of each draw, averaged over classes (the protocol of Caltech-101, Fei-Fei et al. 2004).

    A draw labels `per_class` pictures of each class and classifies up to `MOST_TESTED` others of it.
    """
    accuracies = []
    for draw in range(draws):
        random = np.random.default_rng(seed + draw)
        classes = [random.permutation(np.flatnonzero(labels == name)) for name in np.unique(labels)]
        train = np.concatenate([members[:per_class] for members in classes])
        tests = [members[per_class : per_class + MOST_TESTED] for members in classes]
        if not all(len(members) for members in tests):
            raise UsageError(f"per_class={per_class}: leaves no picture of some class to classify; label fewer")
        predicted, _ = predict(classifier, rows[train], labels[train], rows[np.concatenate(tests)])
        right = predicted == labels[np.concatenate(tests)]
        ends = np.cumsum([len(members) for members in tests])[:-1]
        accuracies.append(100 * float(np.mean([part.mean() for part in np.split(right, ends)])))
    return accuracies


def principal_components(train: Rows, test: Rows) -> tuple[Rows, Rows]:
    """Both sets of rows in the first principal components of the training rows, whitened; uses no labels."""
    components = min(PCA_COMPONENTS, *train.shape)
    pca = PCA(components, whiten=True, random_state=0).fit(train)
    return pca.transform(train), pca.transform(test)


def compare(
    network: Stack,
    train: Images,
    test: Images,
    pooling: SpatialPyramid,
    *,
    counts: Sequence[int],
    draws: int,
    classifier: Kind,
    baselines: bool,
    seed: int,
) -> dict[str, Any]:
    """`by_labels` for the features of a network and, with `baselines`, for cheaper features in the same protocol."""
    all_labels, test_labels = labels_of(train).numpy(), labels_of(test).numpy()
    indices_of = draw_labeled(all_labels, counts, draws, seed=seed)
    # Features are computed only for pictures with a label in some draw.
    union = np.unique(np.concatenate([index for indices in indices_of.values() for index in indices]))
    pictures = train.select(torch.from_numpy(union))
    indices_of = {
        count: [np.searchsorted(union, index) for index in indices] for count, indices in indices_of.items()
    }
    labels = all_labels[union]

    def errors(rows: Rows, test_rows: Rows) -> dict[str, Any]:
        return by_labels(rows, labels, test_rows, test_labels, indices_of, classifier=classifier)

    def errors_of(network: Network, pooling: SpatialPyramid = pooling) -> dict[str, Any]:
        return errors(describe(network, pictures, pooling), describe(network, test, pooling))

    results = {"features": errors_of(network)}
    if baselines:
        # All baselines use the transforms that bring the pictures to one size.
        shaping = network.transform.shaping
        raw, shape = Pixels(shaping), SpatialPyramid(power=1)
        train_pixels, test_pixels = describe(raw, pictures, shape), describe(raw, test, shape)
        results["pixels"] = errors(train_pixels, test_pixels)
        results["pca"] = errors(*principal_components(train_pixels, test_pixels))
        results["random"] = errors_of(with_random_filters(network, seed=seed))
        results["kmeans"] = errors_of(_patches_like(network, train, shaping, seed), replace(pooling, layers=(1,)))
    return results


def _patches_like(network: Stack, images: Images, shaping: Pipeline, seed: int) -> KMeansPatches:
    """K-means with as many centroids as layer 1 has filters, on patches of the same size of the same pixels."""
    geometry, machine = network.geometry[0], network.machines[0]
    if geometry.dense:
        raise UsageError("baselines=True: k-means patches need a convolutional first layer; leave it out")
    return KMeansPatches(images, centroids=machine.units[1].n, size=geometry.kernel[0], transform=shaping, seed=seed)
