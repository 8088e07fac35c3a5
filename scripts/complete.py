"""Halves of MNIST test digits, inferred from the others by deep Boltzmann machines, connected and convolutional.

    python scripts/complete.py --data-root DIR

`dbm_mnist` comes with the package, `cdbm_mnist` is trained here, in some 20 minutes. Writes results/complete.json and
docs/figures/dbm_completed.png and cdbm_completed.png; an interrupted training goes on when it is run again.
"""

import argparse
from pathlib import Path
from typing import Any

from reporting import write

import convdbn

FIGURES = Path("docs", "figures")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-root", required=True)
    options = parser.parse_args()
    data: dict[str, Any] = {"data": "mnist", "data_root": options.data_root, "device": "cpu"}
    run = Path("runs", "cdbm_mnist")
    convdbn.train(recipe="cdbm_mnist", output_dir=run, resume=True, **data)
    found = {
        "dbm_mnist": convdbn.complete(checkpoint="dbm_mnist", output=FIGURES / "dbm_completed.png", **data),
        "cdbm_mnist": convdbn.complete(
            checkpoint=run, output=FIGURES / "cdbm_completed.png", count=48, sweeps=150, **data
        ),
    }
    write(
        Path("results", "complete.json"),
        {
            **found,
            "protocol": "left halves of the first test digits, squared error of a covered pixel, beside those of the "
            "mean training picture and of the training picture that is nearest in the half that was seen",
            "seed": 0,
        },
    )


if __name__ == "__main__":
    main()
