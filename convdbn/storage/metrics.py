"""Rows of metrics: into a CSV file as they come, and onto a progress bar."""

import csv
from pathlib import Path
from types import TracebackType

from tqdm import tqdm

Metrics = dict[str, float]

COLUMNS = (
    "layer",
    "step",
    "reconstruction_error",
    "free_energy_gap",
    "activation",
    "dead",
    "always_on",
    "weight_rms",
    "update_to_weight",
    "hidden_bias",
    "rate",
    "sigma",
)


class MetricsLog:
    """Takes the metrics of one layer, from step `done` on; `path` is the CSV file to append to, or None."""

    def __init__(self, path: Path | None, layer: int, *, updates: int, done: int) -> None:
        self.layer = layer
        self.bar = tqdm(total=updates, initial=done, desc=f"layer {layer}", disable=None)
        self.file = None
        if path is not None:
            new = not path.exists()
            self.file = open(path, "a", newline="")  # noqa: SIM115 - closed with the log
            self.writer = csv.DictWriter(self.file, COLUMNS)
            if new:
                self.writer.writeheader()

    def __enter__(self) -> "MetricsLog":
        return self

    def __call__(self, metrics: Metrics) -> None:
        """One row, on disk at once."""
        self.bar.update(metrics["step"] - self.bar.n)
        self.bar.set_postfix(error=f"{metrics['reconstruction_error']:.4f}", on=f"{metrics['activation']:.4f}")
        if self.file is not None:
            self.writer.writerow({"layer": self.layer, **metrics})
            self.file.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()
        if self.file is not None:
            self.file.close()


def cut(path: Path, layer: int, step: int) -> None:
    """Drop the rows after a step of a layer, which a resumed run will write again."""
    if not path.exists():
        return
    with open(path, newline="") as file:
        rows = [row for row in csv.DictReader(file) if (int(row["layer"]), int(row["step"])) <= (layer, step)]
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def read(path: Path) -> list[Metrics]:
    """The rows of a file of metrics, each with what was measured in it."""
    with open(path, newline="") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
