"""Protocols: what the features of a network are worth to a classifier that sees few labels."""

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
from convdbn.images.splits import labeled
from convdbn.models.extract import Network, describe
from convdbn.models.pyramid import SpatialPyramid
from convdbn.models.stack import Stack

PCA_COMPONENTS = 50
MOST_TESTED = 50
"""Pictures of each class that `class_accuracy` classifies, so that large classes do not cost more."""

Draws = Mapping[int, Sequence[NDArray[np.int64]]]
"""For each number of labels, the indices of the pictures that each draw labels."""


def draw_labeled(labels: Labels, counts: Sequence[int], draws: int, *, seed: int) -> Draws:
    """`labeled` anew for each of the `draws` of each count; all pictures are drawn once."""
    return {
        count: [labeled(labels, count, seed=seed + draw) for draw in range(draws if count < len(labels) else 1)]
        for count in counts
    }


def by_labels(
    rows: Rows, labels: Labels, test_rows: Rows, test_labels: Labels, drawn: Draws, *, classifier: Kind
) -> dict[str, dict[str, Any]]:
    """Test error in percent of a classifier that is given the labels of the `drawn` rows and no others.

    For each count the mean error, its standard error over the draws (None for a single draw), the errors themselves
    and the hyper-parameters that each draw's labeled pictures chose.
    """
    results: dict[str, dict[str, Any]] = {}
    for count, indices in drawn.items():
        errors, chosen = [], []
        for index in indices:
            predicted, settings = predict(classifier, rows[index], labels[index], test_rows)
            errors.append(100 * float(np.mean(predicted != test_labels)))
            chosen.append(settings)
        spread = float(np.std(errors, ddof=1) / np.sqrt(len(errors))) if len(errors) > 1 else None
        results[str(count)] = {"error": float(np.mean(errors)), "se": spread, "errors": errors, "chosen": chosen}
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
        shuffled = [random.permutation(np.flatnonzero(labels == name)) for name in np.unique(labels)]
        known = np.concatenate([members[:per_class] for members in shuffled])
        tested = [members[per_class : per_class + MOST_TESTED] for members in shuffled]
        if not all(len(members) for members in tested):
            raise UsageError(f"per_class={per_class}: leaves no picture of some class to classify; label fewer")
        predicted, _ = predict(classifier, rows[known], labels[known], rows[np.concatenate(tested)])
        right = predicted == labels[np.concatenate(tested)]
        ends = np.cumsum([len(members) for members in tested])[:-1]
        accuracies.append(100 * float(np.mean([part.mean() for part in np.split(right, ends)])))
    return accuracies


def principal_components(train: Rows, test: Rows) -> tuple[Rows, Rows]:
    """The first components of the training rows, whitened; fitted without labels."""
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
    """`by_labels` for the features of a network and, with `baselines`, for cheaper ones on the same protocol."""
    if train.labels is None or test.labels is None:
        raise UsageError(f"data: {train.name} has no labels; put the pictures of each class into a folder of its own")
    drawn = draw_labeled(train.labels.numpy(), counts, draws, seed=seed)
    # Rows are made for the pictures that some draw labels, and for no others.
    used = np.unique(np.concatenate([index for indices in drawn.values() for index in indices]))
    chosen = train.select(torch.from_numpy(used))
    drawn = {count: [np.searchsorted(used, index) for index in indices] for count, indices in drawn.items()}
    labels, test_labels = train.labels.numpy()[used], test.labels.numpy()

    def errors(rows: Rows, test_rows: Rows) -> dict[str, Any]:
        return by_labels(rows, labels, test_rows, test_labels, drawn, classifier=classifier)

    def described(network: Network, pooling: SpatialPyramid = pooling) -> dict[str, Any]:
        return errors(describe(network, chosen, pooling), describe(network, test, pooling))

    results = {"features": described(network)}
    if baselines:
        # What brings the pictures to one size goes for all.
        shaping = network.transform.shaping
        raw, shape = Pixels(shaping), SpatialPyramid(power=1)
        train_pixels, test_pixels = describe(raw, chosen, shape), describe(raw, test, shape)
        results["pixels"] = errors(train_pixels, test_pixels)
        results["pca"] = errors(*principal_components(train_pixels, test_pixels))
        results["random"] = described(with_random_filters(network, seed=seed))
        results["kmeans"] = described(_patches_like(network, train, shaping, seed), replace(pooling, layers=(1,)))
    return results


def _patches_like(network: Stack, images: Images, shaping: Pipeline, seed: int) -> KMeansPatches:
    """K-means on as many patches, of the same size, as layer 1 has filters, on the same pixels."""
    (kernel, _), machine = network.geometry[0], network.machines[0]
    if network.geometry[0].dense:
        raise UsageError("baselines: k-means patches need a convolutional first layer")
    return KMeansPatches(images, centroids=machine.units[1].n, size=kernel[0], transform=shaping, seed=seed)
