"""Rows of metrics, and the CSV file for them."""

import csv
from pathlib import Path
from types import TracebackType

__all__ = ["COLUMNS", "METRICS_FILE", "Metrics", "MetricsFile", "cut", "read"]

METRICS_FILE = "metrics.csv"
"""Name of the file in a run folder."""

Metrics = dict[str, float]
"""One row: measurements of a layer after an update, by the name of the column."""

COLUMNS = {
    "layer": "Number of the layer in training, from 1",
    "step": "Number of updates so far",
    "reconstruction_error": "Mean squared difference between the batch and its mean-field reconstruction",
    "free_energy_gap": "Mean free energy of held-out inputs less that of equally many training inputs",
    "activation": "Mean activation of the hidden units",
    "dead": "Share of the hidden units that stay below .05 for every input of the batch",
    "always_on": "Share of the hidden units whose mean activation is above .95",
    "weight_rms": "Root mean square of the weights",
    "update_to_weight": "Norm of the update over the norm of the weights",
    "hidden_bias": "Mean bias of the hidden units",
    "rate": "Learning rate of the weights",
    "sigma": "Mean standard deviation of Gaussian visible units",
}
"""Names and meanings of the columns, in the order of the file. A row may lack `free_energy_gap` and `sigma`."""


class MetricsFile:
    """Appends rows of one layer to the CSV file at `path`, each goes to disk at once; None writes nothing."""

    def __init__(self, path: Path | None) -> None:
        self.file = None
        if path is not None:
            new = not path.exists()
            self.file = open(path, "a", newline="")  # noqa: SIM115 - closed on exit
            self.writer = csv.DictWriter(self.file, COLUMNS)
            if new:
                self.writer.writeheader()

    def __enter__(self) -> "MetricsFile":
        return self

    def write(self, row: Metrics) -> None:
        """Append one row."""
        if self.file is not None:
            self.writer.writerow(row)
            self.file.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.file is not None:
            self.file.close()


def cut(path: Path, layer: int, step: int) -> None:
    """Drop the rows after a step of a layer, because a resumed run writes them again."""
    if not path.exists():
        return
    with open(path, newline="") as file:
        rows = [row for row in csv.DictReader(file) if (int(row["layer"]), int(row["step"])) <= (layer, step)]
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def read(path: Path) -> list[Metrics]:
    """The rows of the file, each without its empty columns."""
    with open(path, newline="") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
