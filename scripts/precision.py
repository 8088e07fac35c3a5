"""The effect of bfloat16 products on the quality of features: the digits recipe in both precisions, three seeds each.

    python scripts/precision.py

Accuracy of a logistic regression on the features, protocol of the demonstration. Writes results/precision.json.
"""

import statistics
import time
from pathlib import Path

import torch
from reporting import write
from sklearn.model_selection import train_test_split

from convdbn import recipes
from convdbn.commands.demo import accuracy, flat_features, shifted_digits
from convdbn.images import ArrayImages
from convdbn.learning.greedy import train_greedily

SEEDS = (0, 1, 2)


def main() -> None:
    torch.set_num_threads(2)
    pictures, labels = shifted_digits()
    train, test, train_labels, test_labels = train_test_split(pictures, labels, test_size=0.2, random_state=0)
    images = ArrayImages(torch.from_numpy(train), name="digits")
    result: dict[str, object] = {"seeds": SEEDS}
    for precision in ("float32", "bfloat16"):
        accuracies, times = [], []
        for seed in SEEDS:
            start = time.perf_counter()
            network = train_greedily(recipes.load("digits", precision=precision, seed=seed), images)
            times.append(time.perf_counter() - start)
            features, of_test = (flat_features(network, x) for x in (train, test))
            accuracies.append(accuracy(features, train_labels, of_test, test_labels))
        result[precision] = {
            "accuracy": round(statistics.mean(accuracies), 4),
            "accuracies": [round(one, 4) for one in accuracies],
            "train_seconds": round(statistics.median(times), 1),
        }
        print(precision, result[precision])
    write(Path("results/precision.json"), result)


if __name__ == "__main__":
    main()
