"""`demo`: training, features and figures on pictures that come with scikit-learn, without a network connection."""

import json
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convdbn import recipes
from convdbn.commands.options import command
from convdbn.commands.train import train

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from convdbn.models.stack import Stack


log = logging.getLogger(__name__)
RANDOM_DRAWS = 3
"""Number of networks with random filters; their mean accuracy is printed."""


@command
def demo(*, output_dir: str = "demo") -> dict[str, Any]:
    """Train on the built-in photographs and digits, without a network connection: pictures and accuracies.

    Args:
        output_dir: folder for the pictures and summary.json.
    """
    from convdbn.visual import figures, projections

    start, folder = time.monotonic(), Path(output_dir)
    log.info("1/2  photographs: two layers, without labels")
    run = folder / "photos"
    model = train(recipe="photos", data="photos", output_dir=run, overwrite=True, device="cpu")
    filters = [projections.linear_combination(model, layer) for layer in (1, 2)]
    titles = [
        "layer 1 of the photographs: its filters",
        "layer 2: what its units look for, painted with layer 1",
    ]
    files = [figures.save(figures.filter_grids(filters, titles), folder / "photos.png")]
    log.info("2/2  digits: features without labels, then logistic regression on them")
    accuracies, network = _digits()
    files.append(
        figures.save(
            figures.filter_grids([projections.linear_combination(network, 1)], ["layer 1 of the digits"]),
            folder / "digits.png",
        )
    )
    summary = {
        "digits": {name: round(value, 4) for name, value in accuracies.items()},
        "seconds": round(time.monotonic() - start, 1),
        "figures": [str(path) for path in files],
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    return summary


def _digits() -> tuple[dict[str, float], "Stack"]:
    """Accuracy of each kind of feature on the protocol of scikit-learn's RBM example, and the trained network."""
    import torch
    from sklearn.decomposition import PCA
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import BernoulliRBM

    from convdbn.evaluation.baselines import with_random_filters
    from convdbn.images import ArrayImages
    from convdbn.learning.greedy import train_greedily

    pictures, labels = shifted_digits()
    train, test, train_labels, test_labels = train_test_split(pictures, labels, test_size=0.2, random_state=0)
    network = train_greedily(recipes.load("digits"), ArrayImages(torch.from_numpy(train), name="digits"))
    flat, flat_test = train.reshape(len(train), -1), test.reshape(len(test), -1)
    pca = PCA(whiten=True, random_state=0).fit(flat)
    rbm = BernoulliRBM(n_components=100, learning_rate=0.06, n_iter=10, random_state=0).fit(flat)

    def score(features: "NDArray[np.float32]", of_test: "NDArray[np.float32]") -> float:
        return accuracy(features, train_labels, of_test, test_labels)

    accuracies = {
        "features": score(*(flat_features(network, x) for x in (train, test))),
        "pixels": score(flat, flat_test),
        "pca": score(pca.transform(flat), pca.transform(flat_test)),
        "sklearn_rbm": score(rbm.transform(flat), rbm.transform(flat_test)),
    }
    draws = []
    for seed in range(RANDOM_DRAWS):
        random = with_random_filters(network, seed=seed)
        draws.append(score(*(flat_features(random, x) for x in (train, test))))
    return {**accuracies, "random": sum(draws) / len(draws)}, network


def shifted_digits() -> tuple["NDArray[np.float32]", "NDArray[np.int64]"]:
    """scikit-learn's 8x8 digits and each shifted by one pixel up, left, right and down: `(8985, 1, 8, 8)`."""
    import numpy as np
    from sklearn.datasets import load_digits

    digits = load_digits()
    pictures = (digits.images / 16).astype(np.float32)[:, None]
    padded = np.pad(pictures, ((0, 0), (0, 0), (1, 1), (1, 1)))
    corners = [(1, 1), (2, 1), (1, 2), (1, 0), (0, 1)]  # in the example's order, so that the split is the same
    shifts = np.concatenate([padded[:, :, y : y + 8, x : x + 8] for y, x in corners])
    return shifts, np.tile(digits.target, len(corners))


def flat_features(network: "Stack", pictures: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """Maps of all layers, one row for each picture."""
    import torch

    return torch.cat([x.flatten(1) for x in network.features(torch.from_numpy(pictures))], 1).numpy()


def accuracy(features: Any, labels: Any, test_features: Any, test_labels: Any) -> float:
    """Test accuracy of a logistic regression on standardized features: the same for every kind of feature."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000))
    return float(classifier.fit(features, labels).score(test_features, test_labels))
