"""MNIST from 2,000 labeled pictures, with noise on, or a square over, the pictures that are classified.

    python scripts/noise.py --data-root DIR [--quick]

The protocol of github.com/lonl/CDBN: the first 2,000 training pictures teach the layers without labels and the
classifier with them; the first 2,000 test pictures are classified with 0, 10 and 20 % of their pixels replaced by
uniform noise. Also with squares over 10 and 25 % of the picture. Raw pixels, their principal components, the same
network with random filters and k-means patches see the same pictures. --quick leaves these out. Writes
results/noise.json (--quick: noise_quick.json); a second run continues an interrupted one.
"""

from pathlib import Path
from typing import Any

from reporting import Ledger, fingerprint, parser, write

import convdbn
from convdbn import recipes
from convdbn.evaluation.protocols import compare
from convdbn.images import open_images
from convdbn.images.corrupt import Corrupted
from convdbn.learning.greedy import train_greedily
from convdbn.models.pyramid import SpatialPyramid

COUNT = 2000
RECIPE: dict[str, Any] = {
    "transform": [{"kind": "pad", "size": 2}, {"kind": "local_contrast", "size": 9, "epsilon": 0.2}],
    "filters": [128],
    "kernel": 9,
    "visible": "gaussian",
    "init": "normal",
    "border": 0,
    "updates": 800,
    "rate": 0.003,
    "l2": 0,
    "weight_std": 0.01,
}
"""One layer of larger filters, chosen on 2,000 other training pictures: 7x7 with epsilon .1 bear noise less well."""
POOLING = SpatialPyramid((1,), (5,))
CORRUPTIONS: dict[str, dict[str, float]] = {
    "clean": {},
    "noise_10": {"noise": 0.1},
    "noise_20": {"noise": 0.2},
    "occlusion_10": {"occlusion": 0.1},
    "occlusion_25": {"occlusion": 0.25},
}


def main() -> None:
    options = parser(__doc__, "--data-root", "--quick").parse_args()
    name = "noise_quick" if options.quick else "noise"
    train, test = (
        open_images("mnist", data_root=options.data_root, split=split).select(range(COUNT))
        for split in ("train", "test")
    )
    recipe = recipes.load("cdbn_mnist", **RECIPE)
    ledger = Ledger(name, fingerprint(recipe, POOLING, options.quick))
    folder = Path("runs", name)
    ledger.get("layers", lambda: len(train_greedily(recipe, train, folder=folder).machines))
    network = convdbn.load(folder)

    def accuracies(corruption: dict[str, float]) -> dict[str, float]:
        options_: dict[str, Any] = {"counts": [COUNT], "draws": 1, "classifier": "svm", "seed": 0}
        worse = Corrupted(test, **corruption)
        rows = compare(network, train, worse, POOLING, baselines=not options.quick, **options_)
        return {kind: round(100 - row[str(COUNT)]["error"], 2) for kind, row in rows.items()}

    figures = {kind: ledger.get(kind, lambda c=corruption: accuracies(c)) for kind, corruption in CORRUPTIONS.items()}
    write(
        Path("results", f"{name}.json"),
        {
            "accuracy": figures,
            "protocol": "first 2,000 training pictures for layers and classifier, first 2,000 test pictures; RBF "
            "SVM, C and gamma by 5-fold cross-validation on 1,000 of the clean labeled pictures; noise replaces "
            "pixels by values uniform in [0, 1]",
            "recipe": RECIPE,
            "seed": 0,
            "seconds": ledger.close(),
        },
    )


if __name__ == "__main__":
    main()
