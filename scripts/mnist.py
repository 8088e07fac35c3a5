"""Time and memory of training the `mnist` recipe on all 60,000 pictures on the command line, and of its features.

    python scripts/mnist.py --data-root DIR

Seconds and peak memory are those of the whole processes. Writes results/mnist.json and docs/figures/mnist.png.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from reporting import parser, write

import convdbn


def run(*arguments: str) -> float:
    """Seconds that one `convdbn` command takes."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "convdbn", *arguments], check=True, stdout=sys.stderr)
    return time.perf_counter() - start


def peak_gib() -> float:
    """Largest memory of any child process so far."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20


def main() -> None:
    root = parser(__doc__, "--data-root").parse_args().data_root
    data = ("--data", "mnist", "--data-root", root)
    with tempfile.TemporaryDirectory() as folder:
        train_seconds = run("train", "--recipe", "mnist", *data, "--output-dir", f"{folder}/run")
        train_memory = peak_gib()
        features = {
            f"features_{layer}_seconds": run(
                "features",
                f"{folder}/run",
                *data,
                "--split",
                "test",
                "--layer",
                str(layer),
                "--output",
                f"{folder}/features.npz",
            )
            for layer in (1, 2)
        }
        convdbn.visualize(model=f"{folder}/run", output="docs/figures/mnist.png")
        metrics = (Path(folder) / "run" / "metrics.csv").read_text().splitlines()
    columns = metrics[0].split(",")
    last = {row.split(",")[0]: dict(zip(columns, row.split(","), strict=True)) for row in metrics[1:]}
    write(
        Path("results/mnist.json"),
        {
            "train_seconds": round(train_seconds, 1),
            "train_peak_gib": round(train_memory, 2),
            **{name: round(value, 1) for name, value in features.items()},
            "peak_gib": round(peak_gib(), 2),
            "last_metrics": {
                f"layer_{layer}": {k: float(v) for k, v in row.items() if v} for layer, row in last.items()
            },
            "threads": torch.get_num_threads(),
            "seed": 0,
        },
    )


if __name__ == "__main__":
    main()
