"""Caltech-101 accuracy with 15 and 30 labeled pictures a class, with features learned on natural scenes alone.

    python scripts/caltech101.py --data-root DIR [--quick]

Pictures, gray, are stretched to squares of two sizes; the maps of layers 1 and 2 of `cdbn_natural`, brought to one
contrast, are averaged over a spatial pyramid, and a ridge classifier with an RBF kernel learns from 15 or 30
pictures of each of the 101 classes (the background is left out). Up to 50 others of each class are classified; the
accuracy is the mean over classes, then over draws. --quick: 20 classes, one draw of 15. Writes
results/caltech101.json (--quick: caltech101_quick.json); a second run continues an interrupted one.
"""

import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from reporting import Ledger, fingerprint, parser, write

import convdbn
from convdbn.evaluation.baselines import KMeansPatches, Pixels, with_random_filters
from convdbn.evaluation.classifiers import Rows
from convdbn.evaluation.protocols import class_accuracy, principal_components
from convdbn.images import FolderImages, Gray, Images, Pipeline, Resize
from convdbn.models.extract import describe
from convdbn.models.files import WEIGHTS
from convdbn.models.pyramid import SpatialPyramid
from convdbn.models.stack import Stack

MODEL = "cdbn_natural"
SIDES = (102, 154)
POOLING = SpatialPyramid((1, 2), grid=(1, 2, 3, 4, 6), power=0.5, window=3)
MOST = 80
"""Maximal number of pictures of a class: as many as one draw of 30 needs."""
PIXELS = 32
"""Side of the pictures whose raw pixels, and their principal components, are classified."""


def stretched(network: Stack, side: int) -> Stack:
    """The network behind a transform that brings every picture to one square."""
    return Stack(Pipeline(Resize([side, side]), *network.transform), list(network.machines), network.picture)


def columns(network: Stack) -> int:
    """Number of features of layer 1 for a picture of one size."""
    return network.machines[0].units[1].n * sum(side**2 for side in POOLING.grid)


def rows_of(network: Stack, images: Images) -> Rows:
    """Layer 1 at every size, then layer 2 at every size; each such part is scaled to a total variance of 1."""
    sizes = [describe(stretched(network, side), images, POOLING) for side in SIDES]
    first = columns(network)
    parts = [rows[:, :first] for rows in sizes] + [rows[:, first:] for rows in sizes]
    return scaled(parts)


def scaled(parts: list[Rows]) -> Rows:
    """Parts side by side, each with a total variance of 1."""
    return np.concatenate([part / np.sqrt(part.var(0).sum()) for part in parts], 1)


def few_of_each(images: Images, classes: int) -> torch.Tensor:
    """Indices of at most `MOST` pictures of each of the first `classes` classes."""
    assert images.labels is not None
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return torch.cat([order[images.labels[order] == label][:MOST] for label in range(classes)]).sort().values


def main() -> None:
    options = parser(__doc__, "--data-root", "--quick").parse_args()
    everything = FolderImages(
        Path(options.data_root, "caltech101", "101_ObjectCategories"), skip=["BACKGROUND_Google"]
    )
    name, draws, counts, classes = "caltech101", 5, (15, 30), len(everything.classes)
    if options.quick:
        name, draws, counts, classes = "caltech101_quick", 1, (15,), 20
    images = everything.select(few_of_each(everything, classes))
    assert images.labels is not None
    labels = images.labels.numpy()
    network = convdbn.create_model(MODEL, device="cpu")
    small = Pipeline(Resize([PIXELS, PIXELS]))
    ledger = Ledger(name, fingerprint(WEIGHTS / f"{MODEL}.safetensors", SIDES, POOLING, MOST, draws, counts))

    def accuracies(kind: str, rows: Rows) -> dict[str, Any]:
        result = {}
        for count in counts:
            got = ledger.get(
                f"{kind} {count}", lambda n=count: class_accuracy(rows, labels, n, draws=draws, classifier="ridge")
            )
            se = statistics.stdev(got) / len(got) ** 0.5 if len(got) > 1 else None
            result[str(count)] = {"accuracy": statistics.mean(got), "se": se, "accuracies": got}
        return result

    def patches() -> Rows:
        """K-means centroids, as many and as large as layer 1's filters, of these pictures at the larger size."""
        filters, (size, _) = network.machines[0].units[1].n, network.geometry[0].kernel
        shapings = [Pipeline(Resize([side, side]), Gray()) for side in SIDES]
        centroids = KMeansPatches(images, centroids=filters, size=size, transform=shapings[-1], seed=0)
        parts = []
        for centroids.transform in shapings:
            parts.append(describe(centroids, images, replace(POOLING, layers=(1,))))
        return scaled(parts)

    first = len(SIDES) * columns(network)
    learned = ledger.array("learned", lambda: rows_of(network, images))
    random = ledger.array("random", lambda: rows_of(with_random_filters(network, seed=0), images))
    pixels = ledger.array("pixels", lambda: describe(Pixels(small), images, SpatialPyramid(power=1)))
    write(
        Path("results", f"{name}.json"),
        {
            **accuracies("layers 1 and 2", learned),
            "layer_1": accuracies("layer 1", learned[:, :first]),
            "layer_2": accuracies("layer 2", learned[:, first:]),
            "baselines": {
                "random": accuracies("random", random),
                "kmeans": accuracies("kmeans", ledger.array("kmeans", patches)),
                "pixels": accuracies("pixels", pixels),
                "pca": accuracies("pca", principal_components(pixels, pixels)[0]),
            },
            "protocol": f"{draws} draws from {MOST} pictures of each class; gray pictures stretched to squares of "
            f"{SIDES} pixels; maps averaged over {POOLING.window}x{POOLING.window} positions, unit length over the "
            f"maps, means over pyramids of {POOLING.grid} cells a side, which overlap by half, to the power "
            f"{POOLING.power}; every size and layer scaled to a variance of 1 over all pictures, without labels; "
            "ridge classifier with an RBF kernel, alpha by leaving one labeled picture out; the rest of each class, "
            "at most 50, is classified; mean over classes; se over the draws; principal components of all pictures, "
            "without labels; k-means patches (Coates et al. 2011) of the same pictures, pooled like layer 1",
            "seed": 0,
            "seconds": ledger.close(),
        },
    )


if __name__ == "__main__":
    main()
