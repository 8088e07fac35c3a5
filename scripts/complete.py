"""Completion of half faces and of half MNIST test digits by deep Boltzmann machines.

    python scripts/complete.py --data-root DIR

The convolutional `cdbm_faces` completes faces of persons who are not in its training pictures; it and `dbm_mnist`
come with the package. The script trains `cdbm_mnist`, in some 20 minutes. Writes results/complete.json and
docs/figures/faces_completed.png, dbm_completed.png and cdbm_completed.png; a second run continues an interrupted one.
"""

from pathlib import Path
from typing import Any, get_args

import torch
from faces import persons
from reporting import parser, write
from sklearn.linear_model import Ridge
from torch import Tensor

import convdbn
from convdbn.evaluation.completion import Completed, Cover, completed
from convdbn.images import Mirrored
from convdbn.learning.layer_inputs import prepared
from convdbn.visual import figures

FIGURES = Path("docs", "figures")
SWEEPS = 150
SHOWN = slice(0, None, 6)
"""Number of faces in the figure."""
DRAWN: tuple[Cover, ...] = ("left", "bottom")
"""Covered halves in the figure."""
SHRINKAGE = 30.0
"""Ridge penalty of the linear regression from the visible pixels to the others, in squared units of a pixel."""


def faces(data_root: str) -> dict[str, Any]:
    """Errors and a figure of every half of the faces of other persons."""
    model = convdbn.load("cdbm_faces", device="cpu")
    known, others = persons(data_root)
    found: dict[str, Completed] = {}
    for cover in get_args(Cover):
        generator = torch.Generator().manual_seed(0)
        found[cover] = completed(model, Mirrored(known), others, cover, sweeps=SWEEPS, generator=generator)
    rows = {"face": found["left"].pictures}
    for cover in DRAWN:
        half = found[cover]
        rows |= {f"{cover} covered": torch.where(half.kept, half.pictures, 0.5), f"{cover} inferred": half.completed}
    drawn = figures.labeled_rows([row[SHOWN] for row in rows.values()], list(rows))
    training = prepared(model, Mirrored(known))
    return {
        "output": str(figures.save(drawn, FIGURES / "faces_completed.png")),
        "pictures": len(others),
        **{cover: _errors(half) | {"of_regression": _regression(training, half)} for cover, half in found.items()},
    }


def _errors(found: Completed) -> dict[str, float]:
    return {"squared_error": found.error, "of_mean": found.mean_error, "of_nearest": found.nearest_error}


def _regression(known: Tensor, found: Completed) -> float:
    """Squared error of a covered pixel by linear regression on the visible pixels."""
    line = Ridge(SHRINKAGE).fit(known[:, found.kept].numpy(), known[:, ~found.kept].numpy())
    guess = torch.from_numpy(line.predict(found.pictures[:, found.kept].numpy()))
    return float((guess - found.pictures[:, ~found.kept]).square().mean())


def digits(data_root: str) -> dict[str, Any]:
    """Left halves of test digits, by a fully connected and a convolutional machine."""
    data: dict[str, Any] = {"data": "mnist", "data_root": data_root, "device": "cpu"}
    run = Path("runs", "cdbm_mnist")
    convdbn.train(recipe="cdbm_mnist", output_dir=run, resume=True, **data)
    return {
        "dbm_mnist": convdbn.complete(model="dbm_mnist", output=FIGURES / "dbm_completed.png", **data),
        "cdbm_mnist": convdbn.complete(
            model=run, output=FIGURES / "cdbm_completed.png", count=48, sweeps=SWEEPS, **data
        ),
    }


def main() -> None:
    options = parser(__doc__, "--data-root").parse_args()
    write(
        Path("results", "complete.json"),
        {
            "cdbm_faces": faces(options.data_root),
            **digits(options.data_root),
            "protocol": "squared error of a covered pixel, beside those of the mean training picture and of the "
            "training picture that is nearest in the half that was seen; faces: 70 pictures of persons who are in no "
            "training picture, which come with their mirror images, and also beside ridge regression of strength "
            f"{SHRINKAGE:g} on the seen pixels; digits: left halves of the first test digits",
            "seed": 0,
        },
    )


if __name__ == "__main__":
    main()
