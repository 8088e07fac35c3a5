"""The demonstration's figures: runs `convdbn demo` and writes results/demo.json and docs/figures/.

python scripts/demo.py
"""

import shutil
import tempfile
from pathlib import Path

import torch
from reporting import write

import convdbn


def main() -> None:
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as folder:
        summary = convdbn.demo(output_dir=folder)
        figures = [Path(name) for name in summary["figures"]]
        Path("docs/figures").mkdir(parents=True, exist_ok=True)
        for figure in figures:
            shutil.copy(figure, Path("docs/figures") / figure.name)
    write(Path("results/demo.json"), {**summary, "figures": [f"docs/figures/{f.name}" for f in figures], "seed": 0})


if __name__ == "__main__":
    main()
