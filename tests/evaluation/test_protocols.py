"""Protocols of evaluation: what may see which labels, and baselines that do what their papers say."""

import numpy as np
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge

from convdbn.energy import Gaussian
from convdbn.errors import DataError, UsageError
from convdbn.evaluation.baselines import KMeansPatches, Pixels
from convdbn.evaluation.classifiers import ALPHA, RIDGE_GAMMA, WHOLE, _pairs, _whole, predict
from convdbn.evaluation.protocols import (
    by_labels,
    class_accuracy,
    compare,
    draw_labeled,
    labeled,
    principal_components,
)
from convdbn.images import ArrayImages, Pad, Pipeline, build_transform
from convdbn.models.extract import describe
from convdbn.models.machines import conv_rbm, rbm
from convdbn.models.pyramid import SpatialPyramid
from convdbn.models.stack import Stack

KINDS = ("svm", "linear-svm", "logistic", "ridge")


def blobs(count, *, seed=0, classes=3, shift=0.0, scale=1.0):
    """Rows around one center for each class."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    centers = 4 * np.eye(classes, 6)
    rows = scale * (centers[labels] + random.normal(size=(count, 6))) + shift
    return rows.astype(np.float32), labels.astype(np.int64)


def rings(count, *, seed):
    """Two classes that no line can part."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    angle = random.uniform(0, 2 * np.pi, count)
    radius = 1 + 2 * labels + random.normal(0, 0.1, count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).astype(np.float32), labels


class TestClassifiers:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize(("shift", "scale"), [(0, 1), (100, 1), (0, 1e-3)])
    def test_find_separated_classes_whatever_origin_and_scale(self, kind, shift, scale):
        rows, labels = blobs(90, shift=shift, scale=scale)
        unseen, truth = blobs(300, seed=1, shift=shift, scale=scale)
        predicted, chosen = predict(kind, rows, labels, unseen)
        assert np.mean(predicted == truth) > 0.95
        assert {"C", "alpha"} & set(chosen)

    def test_only_the_kernels_part_rings(self):
        rows, labels = rings(200, seed=0)
        unseen, truth = rings(400, seed=1)
        right = {kind: np.mean(predict(kind, rows, labels, unseen)[0] == truth) for kind in KINDS}
        assert min(right["svm"], right["ridge"]) > 0.99
        assert max(right["linear-svm"], right["logistic"]) < 0.75

    def test_ridge_chooses_as_leaving_out_every_row_in_turn_would(self):
        """And its answers are those of scikit-learn's kernel ridge with the same kernel."""
        rows, labels = rings(40, seed=0)
        unseen, _ = rings(40, seed=1)
        predicted, chosen = predict("ridge", rows, labels, unseen)
        center, scale = rows.mean(0), 1 / np.sqrt(rows.var(0).sum())
        rows, unseen = (rows - center) * scale, (unseen - center) * scale
        targets = np.where(labels[:, None] == np.unique(labels), 1.0, -1.0)
        targets, prior = targets - targets.mean(0), targets.mean(0)

        def fitted(alpha, kept):
            return KernelRidge(alpha=alpha, kernel="rbf", gamma=RIDGE_GAMMA).fit(rows[kept], targets[kept])

        def error(alpha):
            residuals = [
                targets[i] - fitted(alpha, np.arange(len(rows)) != i).predict(rows[[i]])[0] for i in range(len(rows))
            ]
            return np.square(residuals).mean()

        assert chosen == {"alpha": min(ALPHA, key=error)}
        scores = fitted(chosen["alpha"], slice(None)).predict(unseen) + prior
        assert (predicted == np.unique(labels)[scores.argmax(1)]).all()

    def test_ridge_refuses_more_rows_than_its_kernel_has_room_for(self):
        rows, labels = np.zeros((WHOLE + 2, 1), np.float32), np.arange(WHOLE + 2) % 2
        rows[:, 0] = labels
        with pytest.raises(UsageError, match="classifier='ridge': takes at most"):
            predict("ridge", rows, labels, rows[:2])

    def test_the_unseen_rows_choose_nothing(self):
        """Other test pictures leave the settings and the answers for these as they were."""
        rows, labels = blobs(60)
        unseen, _ = blobs(50, seed=1)
        alone, chosen = predict("svm", rows, labels, unseen)
        among, again = predict("svm", rows, labels, np.concatenate([unseen, 100 + unseen]))
        assert chosen == again
        assert (among[:50] == alone).all()

    def test_pairs_of_classes_vote_as_libsvm_does(self):
        """What serves more labels than one kernel matrix holds; two of the classes are of other sizes."""
        rows, labels = blobs(90, classes=4, scale=2)
        kept = np.flatnonzero((labels != 2) | (np.arange(90) < 45))
        unseen, _ = blobs(2000, seed=1, classes=4, scale=2)
        whole, pairs = (vote(rows[kept], labels[kept], unseen, 0.05, 3.0) for vote in (_whole, _pairs))
        assert len(np.unique(whole)) == 4
        assert (whole == pairs).all()

    def test_refusals(self):
        rows, labels = blobs(30)
        with pytest.raises(UsageError, match="classifier='tree'"):
            predict("tree", rows, labels, rows)
        with pytest.raises(UsageError, match="labels: are too few; label at least two classes"):
            predict("svm", rows, np.zeros(30, np.int64), rows)
        with pytest.raises(UsageError, match="two pictures each"):
            predict("svm", rows[:4], np.array([0, 0, 1, 2]), rows)


class TestLabeled:
    def test_classes_get_equal_shares(self):
        labels = np.repeat([0, 1, 2], [50, 30, 20])
        index = labeled(labels, 31, seed=0)
        assert len(index) == len(set(index)) == 31
        assert sorted(np.bincount(labels[index])) == [10, 10, 11]

    def test_draws_differ_and_repeat(self):
        labels = np.repeat([0, 1], 50)
        first, second, again = (labeled(labels, 20, seed=seed) for seed in (0, 1, 0))
        assert set(first) != set(second)
        assert (first == again).all()

    def test_all_of_them(self):
        assert (labeled(np.repeat([0, 1], 5), 10, seed=0) == np.arange(10)).all()

    @pytest.mark.parametrize("count", [1, 11])
    def test_counts_that_can_not_be(self, count):
        with pytest.raises(UsageError, match=rf"labels={count}: must be between 2 .* and 10"):
            labeled(np.repeat([0, 1], 5), count, seed=0)


def test_mean_and_standard_error_are_those_of_the_draws():
    rows, labels = blobs(300, scale=0.5)
    rows += np.random.default_rng(3).normal(size=rows.shape).astype(np.float32)
    unseen, truth = blobs(200, seed=1, scale=0.5)
    drawn = draw_labeled(labels, (12, 300), 4, seed=0)
    result = by_labels(rows, labels, unseen, truth, drawn, classifier="linear-svm")
    few, everything = result["12"], result["300"]
    assert len(few["errors"]) == 4 and len(everything["errors"]) == 1
    assert few["error"] == pytest.approx(sum(few["errors"]) / 4)
    assert few["se"] == pytest.approx(np.std(few["errors"], ddof=1) / 2) and few["se"] > 0
    assert everything["se"] is None
    assert few["error"] > everything["error"]


def stripes(count, seed):
    """Pictures of noise with a horizontal or a vertical stripe at any place: what pixels alone tell badly."""
    random = np.random.default_rng(seed)
    pictures = random.uniform(0, 0.3, (count, 1, 12, 12)).astype(np.float32)
    labels = np.arange(count) % 2
    for picture, label in zip(pictures, labels, strict=True):
        line = random.integers(1, 11)
        (picture[0, line] if label else picture[0, :, line])[:] = 1
    return ArrayImages(pictures, labels, "stripes")


def stripe_network():
    """Layer 1 has the two stripes as filters, by hand."""
    machine = conv_rbm(Gaussian(1), 2, 3)
    with torch.no_grad():
        weight = machine.links[0].weight.fill_(-2.0)
        weight[0, 0, 1], weight[1, 0, :, 1] = 4.0, 4.0
        machine.units[1].bias.fill_(-6.0)
    return Stack(build_transform([]), [machine], (1, 12, 12))


def test_every_kind_of_feature_through_one_protocol():
    options = {"counts": (10, 20), "draws": 3, "classifier": "linear-svm", "seed": 0}
    results = compare(
        stripe_network(), stripes(100, 0), stripes(200, 1), SpatialPyramid(grid=(1,)), baselines=True, **options
    )
    assert list(results) == ["features", "pixels", "pca", "random", "kmeans"]
    assert results["features"]["20"]["error"] < 2
    assert results["pixels"]["20"]["error"] > 10
    assert results["random"]["20"]["error"] > results["features"]["20"]["error"]
    alone = compare(
        stripe_network(), stripes(100, 0), stripes(200, 1), SpatialPyramid(grid=(1,)), baselines=False, **options
    )
    assert alone == {"features": results["features"]}


def test_pictures_without_labels_and_networks_without_patches_are_refused():
    options = {"counts": (4,), "draws": 1, "classifier": "svm", "seed": 0}
    plain = ArrayImages(torch.rand(8, 1, 12, 12))
    with pytest.raises(DataError, match="has no labels; pass"):
        compare(stripe_network(), plain, plain, SpatialPyramid(), baselines=False, **options)
    dense = Stack(build_transform([]), [rbm(144, 5)], (1, 12, 12))
    with pytest.raises(UsageError, match="convolutional first layer"):
        compare(dense, stripes(20, 0), stripes(20, 1), SpatialPyramid(), baselines=True, **options)


def test_principal_components_are_uncorrelated_and_fitted_on_training_rows():
    train, test = blobs(200)[0], blobs(50, seed=1)[0]
    rows, unseen = principal_components(train, test)
    np.testing.assert_allclose(np.cov(rows.T), np.eye(6), atol=1e-3)
    np.testing.assert_array_equal(unseen[:10], principal_components(train, test[:10])[1])


def test_pixels_are_the_pictures():
    images = stripes(5, 0)
    rows = describe(Pixels(Pipeline()), images, SpatialPyramid(power=1))
    np.testing.assert_array_equal(rows.reshape(5, 1, 12, 12), images.pixels.numpy())


def test_triangle_activations_are_those_of_the_paper():
    """Against the definition, one patch at a time: max(0, mean distance - distance) in the whitened space."""
    images = stripes(60, 0)
    network = KMeansPatches(images, centroids=6, size=4, transform=Pipeline(Pad(1)), seed=0)
    (maps,) = network.features(images[[0, 1]])
    assert maps.shape == (2, 6, 11, 11)
    padded = np.pad(images.pixels[1, 0].numpy(), 1).astype(np.float64)
    for top, left in ((0, 0), (3, 7), (10, 10)):
        patch = padded[top : top + 4, left : left + 4].ravel()
        patch = (patch - patch.mean()) / np.sqrt(patch.var(ddof=1) + 10 / 255**2)
        whitened = (patch - network.mean.numpy()) @ network.whitening.numpy()
        distance = np.linalg.norm(whitened - network.centroids.numpy(), axis=1)
        expected = np.maximum(0, distance.mean() - distance)
        np.testing.assert_allclose(maps[1, :, top, left].numpy(), expected, atol=1e-4)


class TestClassAccuracy:
    def test_classes_count_alike_and_the_labeled_are_not_tested(self):
        """Rows that are their own class for class 0 alone: a large class 1 that is always wrong weighs no more."""
        random = np.random.default_rng(0)
        labels = np.repeat([0, 1, 2], [20, 300, 20]).astype(np.int64)
        rows = random.normal(size=(340, 4)).astype(np.float32) * 0.01
        rows[labels == 0, 0] += 1
        rows[labels == 2, 1] += 1
        rows[np.flatnonzero(labels == 1)[::2], 0] += 1  # half of class 1 looks like class 0
        rows[np.flatnonzero(labels == 1)[1::2], 1] += 1  # the other half like class 2
        accuracies = class_accuracy(rows, labels, 10, draws=3)
        assert len(accuracies) == 3
        assert 40 < np.mean(accuracies) < 100  # by pictures it would be at most 40 of 340

    def test_draws_differ_and_repeat(self):
        rows, labels = blobs(120, scale=3)
        first, again = (class_accuracy(rows, labels, 5, draws=4, classifier="ridge") for _ in range(2))
        assert first == again and len(set(first)) > 1

    def test_a_class_without_a_picture_to_test_is_refused(self):
        rows, labels = blobs(30)
        with pytest.raises(UsageError, match="per_class=10: leaves no picture"):
            class_accuracy(rows, labels, 10, draws=1)
