"""A tiny recipe and pictures made here."""

import numpy as np
import yaml
from PIL import Image

# 12 -> 10 / 2 = 5 -> 4 / 2 = 2
TINY = {"filters": [4, 5], "kernel": [3, 2], "pool": 2, "updates": 6, "batch": 4, "held_out": 0, "log_every": 2}


def write_recipe(path, **fields):
    path.write_text(yaml.safe_dump({**TINY, **fields}))
    return path


def save_pictures(folder, count=8, size=(12, 12), *, color=False):
    """Half of them in each of two classes, a and b."""
    generator = np.random.default_rng(0)
    for i in range(count):
        path = folder / ("a" if i < count // 2 else "b") / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (*size, 3) if color else size
        Image.fromarray(generator.integers(0, 256, shape, dtype=np.uint8)).save(path)
    return folder


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
