"""MNIST test error from few labels and from all, with the features of `cdbn_mnist`, learned without labels.

    python scripts/mnist_labels.py --data-root DIR [--quick]

An SVM with an RBF kernel on layer 1, and the network fine-tuned by backpropagation through both layers beside the
same network from random filters. Every draw labels other pictures, equally many of each digit; the error is that of
all 10,000 test pictures. --quick: 3 draws of 1,000 labels, one of them fine-tuned for 10 epochs. The weights are
those of `python scripts/pretrain.py cdbn_mnist`. Writes results/mnist_labels.json (--quick: mnist_labels_quick.json);
a second run continues an interrupted one.
"""

import statistics
from pathlib import Path
from typing import Any

from reporting import Ledger, fingerprint, machine, parser, write

import convdbn
from convdbn.models.files import WEIGHTS

MODEL = "cdbn_mnist"
COUNTS = (1000, 2000, 3000, 5000, 60000)
UPDATES = 1000
"""Updates of fine-tuning, whatever the number of labels."""
TUNED_COUNTS = (1000, 2000, 3000, 5000)
FINE_TUNING: dict[str, Any] = {"layers": 2, "batch": 32, "held_out": 0}


def summary(row: dict[str, Any]) -> dict[str, Any]:
    """Errors of one number of labels, rounded, and what cross-validation chose most often."""
    return {
        "error": round(row["error"], 3),
        "se": None if row["se"] is None else round(row["se"], 3),
        "errors": [round(one, 2) for one in row["errors"]],
        "chosen": statistics.mode(str(setting) for setting in row["chosen"]),
    }


def spread(errors: list[float]) -> dict[str, Any]:
    """Mean and standard error over draws."""
    error = statistics.mean(errors)
    se = statistics.stdev(errors) / len(errors) ** 0.5 if len(errors) > 1 else None
    return {"error": round(error, 3), "se": se and round(se, 3), "errors": [round(one, 2) for one in errors]}


def main() -> None:
    options = parser(__doc__, "--data-root", "--quick").parse_args()
    name = "mnist_labels_quick" if options.quick else "mnist_labels"
    data: dict[str, Any] = {"checkpoint": MODEL, "data": "mnist", "data_root": options.data_root}
    draws = 3 if options.quick else 10
    counts = COUNTS[:1] if options.quick else COUNTS
    tuned_draws = 1 if options.quick else draws
    epochs = {1000: 10} if options.quick else {count: UPDATES * 32 // count for count in TUNED_COUNTS}
    ledger = Ledger(name, fingerprint(WEIGHTS / f"{MODEL}.safetensors", draws, epochs, FINE_TUNING))

    compared: dict[str, dict[str, Any]] = {}
    for count in counts:
        # All 60,000 labels are for the learned features alone.
        settings = {"labels": count, "baselines": count < COUNTS[-1], "draws": draws}
        rows = ledger.get(str(count), lambda s=settings: convdbn.evaluate(**s, **data))
        for kind, row in rows.items():
            compared.setdefault(kind, {})[str(count)] = summary(row[str(count)])
    svm = compared.pop("features")
    tuned: dict[str, list[dict[str, float]]] = {}
    for count, times in epochs.items():
        for seed in range(tuned_draws):
            settings = {"labels": count, "seed": seed, "epochs": times, "baseline": True}
            figures = ledger.get(
                f"finetuned {count} {seed}",
                lambda s=settings: convdbn.finetune(**s, **FINE_TUNING, **data) | {"machine": machine()},
            )
            tuned.setdefault(str(count), []).append(figures)
    write(
        Path("results", f"{name}.json"),
        {
            "svm": svm,
            "finetuned": {count: spread([one["error"] for one in rows]) for count, rows in tuned.items()},
            "finetuned_random_init": {
                count: spread([one["error_from_random_weights"] for one in rows]) for count, rows in tuned.items()
            },
            "finetuned_on": sorted({one["machine"] for rows in tuned.values() for one in rows}),
            "baselines": compared,
            "protocol": f"svm: {draws} draws of n labeled pictures (60,000: one), equally many of each digit; RBF "
            "SVM on layer 1; C and gamma by 5-fold cross-validation on at most 1,000 of the labeled. finetuned: "
            f"{tuned_draws} draws, both layers and a softmax on layer 2, some {UPDATES} updates of 32 distorted "
            "pictures, no early stopping. All: 10,000 test pictures; se over the draws",
            "epochs": epochs,
            "seed": 0,
            "seconds": ledger.close(),
        },
    )


if __name__ == "__main__":
    main()
