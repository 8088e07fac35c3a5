"""MNIST test error from few labels: features learned without labels, then an SVM with an RBF kernel.

    python scripts/mnist_labels.py --data-root DIR [--quick]

Trains the `mnist_labels` recipe on the training pictures without labels; then 10 draws of each number of labelled
pictures, hyper-parameters by cross-validation on these alone, error on all 10,000 test pictures. Baselines on
the same draws at 1,000 labels. --quick takes 3 draws of 1,000 labels. Writes results/mnist_labels.json
(--quick: mnist_labels_quick.json).
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from reporting import write

import convdbn

COUNTS = (1000, 2000, 3000, 5000)


def summary(errors: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Errors of each number of labels, rounded, and what cross-validation chose most often."""
    return {
        count: {
            "error": round(row["error"], 3),
            "se": round(row["se"], 3),
            "errors": [round(one, 2) for one in row["errors"]],
            "chosen": statistics.mode(str(setting) for setting in row["chosen"]),
        }
        for count, row in errors.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(2)
    start, data = time.perf_counter(), {"data": "mnist", "data_root": options.data_root}
    draws = 3 if options.quick else 10
    with tempfile.TemporaryDirectory() as folder:
        convdbn.train(recipe="mnist_labels", output_dir=folder, **data)
        train_seconds = time.perf_counter() - start
        protocol: dict[str, Any] = {"checkpoint": folder, "draws": draws, **data}
        compared = convdbn.evaluate(labels=1000, baselines=True, **protocol)
        svm = compared.pop("features")
        print(
            "1000", svm["1000"]["error"], {name: row["1000"]["error"] for name, row in compared.items()}, flush=True
        )
        if not options.quick:
            svm |= convdbn.evaluate(labels=list(COUNTS[1:]), **protocol)["features"]
    write(
        Path("results", "mnist_labels_quick.json" if options.quick else "mnist_labels.json"),
        {
            "svm": summary(svm),
            "baselines": {name: summary(row) for name, row in compared.items()},
            "protocol": f"{draws} draws of n labelled pictures, equally many of each digit; RBF SVM; C and gamma by "
            "5-fold cross-validation on at most 1,000 of the labelled; 10,000 test pictures; se over the draws",
            "seed": 0,
            "train_seconds": round(train_seconds, 1),
            "seconds": round(time.perf_counter() - start, 1),
        },
    )


if __name__ == "__main__":
    main()
