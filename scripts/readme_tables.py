"""Writes the tables of the README from results/*.json, between their markers.

    python scripts/readme_tables.py [--check]

With --check nothing is written, and the exit code is 1 where the README differs.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ROWS = {
    "features": "convolutional RBM, 32 filters, learned without labels",
    "random": "the same network, random filters (mean of 3 draws)",
    "sklearn_rbm": "scikit-learn BernoulliRBM, 100 units",
    "pixels": "raw pixels",
    "pca": "PCA, all 64 components, whitened",
}
WORKS = {
    "rbm": "RBM 784-500, 60,000 pictures",
    "conv1": "conv RBM 1x28x28, 40 filters 9x9, C = 2, 10,000 pictures",
    "conv2": "conv RBM 40x10x10, 40 filters 5x5, C = 2, 10,000 pictures",
}


def results(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "results" / f"{name}.json").read_text())


def source(figures: dict[str, Any]) -> str:
    return f"`{figures['command']}`, {figures['machine']}, torch {figures['versions']['torch']}, {figures['date']}."


def digits_table() -> str:
    demo = results("demo")
    rows = [f"| {label} | {demo['digits'][name]:.3f} |" for name, label in ROWS.items()]
    return "\n".join(["| features | test accuracy |", "|---|---|", *rows, "", source(demo)])


def speed_table() -> str:
    speed = results("bench_speed")
    columns = ("seconds", "floor_seconds", "ratio")
    rows = [
        f"| {label} | {' | '.join(f'{speed[name][column]:.2f}' for column in columns)} |"
        for name, label in WORKS.items()
    ]
    head = ["| CD-1, batch 100, float32, two threads | seconds | bare products | ratio |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, "", source(speed)])


def mnist_table() -> str:
    mnist = results("mnist")
    rows = [
        f"| `convdbn train --recipe mnist` on 60,000 pictures | {mnist['train_seconds']:.0f} s |",
        f"| its peak memory | {mnist['train_peak_gib']:.1f} GiB |",
        f"| `convdbn features` of the 10,000 test pictures, layer 1 / layer 2 "
        f"| {mnist['features_1_seconds']:.0f} s / {mnist['features_2_seconds']:.0f} s |",
    ]
    return "\n".join(["| MNIST, two layers of 128 filters, two cores | |", "|---|---|", *rows, "", source(mnist)])


def main() -> int:
    path = ROOT / "README.md"
    before = after = path.read_text()
    for name, table in (("digits", digits_table), ("speed", speed_table), ("mnist", mnist_table)):
        pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        after, count = re.subn(pattern, lambda m, t=table: m[1] + t() + "\n" + m[2], after, flags=re.DOTALL)
        assert count == 1, f"README.md needs one pair of <!-- {name} --> markers"
    if "--check" in sys.argv:
        return int(after != before)
    path.write_text(after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
