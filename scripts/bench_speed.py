"""Speed of contrastive divergence against the bare products that it cannot do without.

    python scripts/bench_speed.py [--data-root DIR] [--rounds N]

For each shape the floor is three field passes and two correlations of one update as bare products, each in the
fastest form found, timed in the same run and interleaved with the updates; `seconds` and `floor_seconds` are medians
over the rounds, scaled to the stated number of pictures. Writes results/bench_speed.json.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from reporting import write
from torch import Tensor
from torch.nn import functional as F

from convdbn.errors import DataError
from convdbn.images import open_images
from convdbn.learning.trainer import Trainer
from convdbn.models.machines import conv_rbm, rbm
from convdbn.recipes import Layer

BATCH = 100


def products(shape: tuple[int, ...], filters: int, kernel: int) -> Callable[[], None]:
    """The five products of a CD-1 update, without anything else."""
    if kernel == 0:
        x, y = torch.rand(BATCH, *shape), torch.rand(BATCH, filters)
        w = torch.randn(filters, *shape)

        def dense() -> None:
            x @ w.T, y @ w, x @ w.T, y.T @ x, y.T @ x

        return dense
    channels, height, width = shape
    rows, positions = channels * kernel**2, (height - kernel + 1) * (width - kernel + 1)
    patches, maps = torch.rand(BATCH, rows, positions), torch.rand(BATCH, filters, positions)
    w = torch.randn(filters, rows)
    flat_patches, flat_maps = patches.transpose(0, 1).reshape(rows, -1), maps.transpose(0, 1).reshape(filters, -1)
    pictures, w4 = torch.rand(BATCH, *shape), torch.randn(filters, channels, kernel, kernel)
    maps4 = torch.rand(BATCH, filters, height - kernel + 1, width - kernel + 1)
    ups = [lambda: F.conv2d(pictures, w4), lambda: w @ patches, lambda: w @ flat_patches]
    downs = [lambda: F.conv_transpose2d(maps4, w4), lambda: w.T @ maps, lambda: w.T @ flat_maps]
    correlations = [
        lambda: torch.nn.grad.conv2d_weight(pictures, w4.shape, maps4),
        lambda: flat_maps @ flat_patches.T,
    ]
    up, down, correlation = (min(ways, key=median_seconds) for ways in (ups, downs, correlations))

    def convolutional() -> None:
        up(), down(), up(), correlation(), correlation()

    return convolutional


def median_seconds(work: Callable[[], object], repeats: int = 9) -> float:
    """Median time of a call, after one that warms up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(trainer: Trainer, batches: list[Tensor], floor: Callable[[], None], scale: float, rounds: int) -> dict:
    """Medians of whole rounds over all batches, program and floor in turn; `scale` takes them to all pictures."""
    seconds, floors = [], []
    for number in range(rounds + 1):
        start = time.perf_counter()
        for batch in batches:
            trainer.update((batch, None))
        middle = time.perf_counter()
        for _ in batches:
            floor()
        end = time.perf_counter()
        if number:  # the first round warms up
            seconds.append((middle - start) * scale)
            floors.append((end - middle) * scale)
    ratios = [a / b for a, b in zip(seconds, floors, strict=True)]
    return {
        "seconds": round(statistics.median(seconds), 3),
        "floor_seconds": round(statistics.median(floors), 3),
        "ratio": round(statistics.median(ratios), 3),
        "rounds": rounds,
        "fastest_and_slowest": [round(min(seconds), 3), round(max(seconds), 3)],
    }


def mnist_batches(data_root: str | None, count: int) -> tuple[list[Tensor], str]:
    """Batches of MNIST pictures, or of noise where the data set is not at hand (the work is the same)."""
    try:
        images = open_images("mnist", data_root=data_root)
        pictures, source = images[torch.arange(count * BATCH)], "mnist"
    except DataError:
        pictures, source = torch.rand(count * BATCH, 1, 28, 28, generator=torch.Generator().manual_seed(0)), "noise"
    return list(pictures.split(BATCH)), source


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-root", help="folder that holds MNIST; noise takes its place without")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(2)
    generator = torch.Generator().manual_seed(0)
    pictures, source = mnist_batches(options.data_root, 100)
    maps = [torch.rand(BATCH, 40, 10, 10, generator=generator).lt(0.1).float() for _ in range(100)]
    settings = Layer(rate=0.01, updates=10**9)
    works = {
        "rbm": (rbm(784, 500), [x.flatten(1) for x in pictures], products((784,), 500, 0), 6.0),
        "conv1": (conv_rbm(1, 40, 9), pictures, products((1, 28, 28), 40, 9), 1.0),
        "conv2": (conv_rbm(40, 40, 5), maps, products((40, 10, 10), 40, 5), 1.0),
    }
    result: dict[str, object] = {"data": source, "threads": 2, "batch": BATCH}
    for name, (machine, batches, floor, scale) in works.items():
        trainer = Trainer(machine, settings, generator=generator)
        trainer.initialise(torch.cat(batches[:10]))
        result[name] = measure(trainer, batches, floor, scale, options.rounds)
        print(f"{name}: {result[name]}", file=sys.stderr)
    result["pictures"] = {"rbm": 60_000, "conv1": 10_000, "conv2": 10_000}
    write(Path("results/bench_speed.json"), result)


if __name__ == "__main__":
    main()
