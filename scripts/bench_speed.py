"""Speed of contrastive divergence compared with the bare products that it needs at least.

    python scripts/bench_speed.py [--data-root DIR] [--rounds N] [--device cuda] [--batch N [N ...]]

For each shape the floor is three field passes and two correlations of one update as bare products, each in the
fastest form that we know. Updates, the floor, and updates with other products are timed alternately, some batches at
a time, so that other load on the machine affects all of them; the same training end to end (loading, shuffling,
metrics, checkpoints) follows each round. Figures are medians, scaled to the stated number of pictures. On a GPU there
is a second floor, which no library must reach: the products' float32 operations at the measured rate of a large
matrix product, or their operands and results at that of a large copy, whichever takes longer. Writes
results/bench_speed.json, or results/bench_speed_cuda.json.
"""

import math
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from reporting import parser, write
from torch import Tensor
from torch.nn import functional as F

from convdbn.energy import BoltzmannMachine
from convdbn.errors import DataError
from convdbn.images import ArrayImages, open_images
from convdbn.learning.greedy import train_greedily
from convdbn.learning.trainer import Trainer
from convdbn.models.machines import conv_rbm, rbm
from convdbn.recipes import LayerSettings, Recipe

UPDATES = {"cpu": 30_000, "cuda": 300_000}
"""Updates in one training end to end, times pictures in a batch: about a second, more than its start."""
TURN = {"cpu": 20, "cuda": 100}
"""Number of batches to time together."""


class Work(NamedTuple):
    """One shape: pictures in batches, the size of the machine, the number of pictures to which figures are scaled,
    and the length of a training end to end."""

    batches: list[Tensor]
    filters: int
    kernel: int
    pictures: int
    updates: int

    def machine(self) -> BoltzmannMachine:
        channels = self.batches[0].shape[1]
        return conv_rbm(channels, self.filters, self.kernel) if self.kernel else rbm(channels, self.filters)


def products(work: Work) -> Callable[[], None]:
    """The five products of a CD-1 update, without anything else."""
    x, filters, kernel = work.batches[0], work.filters, work.kernel
    if kernel == 0:
        y, w = torch.rand(len(x), filters, device=x.device), torch.randn(filters, x.shape[1], device=x.device)

        def dense() -> None:
            x @ w.T, y @ w, x @ w.T, y.T @ x, y.T @ x

        return dense
    patches = F.unfold(x, kernel)
    rows = patches.shape[1]
    up4 = F.conv2d(x, torch.randn(filters, x.shape[1], kernel, kernel, device=x.device))
    maps, w = up4.flatten(2), torch.randn(filters, rows, device=x.device)
    w4 = w.view(filters, x.shape[1], kernel, kernel)
    flat_patches, flat_maps = patches.transpose(0, 1).reshape(rows, -1), maps.transpose(0, 1).reshape(filters, -1)
    ups = [lambda: F.conv2d(x, w4), lambda: w @ patches, lambda: w @ flat_patches]
    downs = [lambda: F.conv_transpose2d(up4, w4), lambda: w.T @ maps, lambda: w.T @ flat_maps]
    correlations = [lambda: torch.nn.grad.conv2d_weight(x, w4.shape, up4), lambda: flat_maps @ flat_patches.T]
    up, down, correlation = (min(ways, key=median_seconds) for ways in (ups, downs, correlations))

    def convolutional() -> None:
        up(), down(), up(), correlation(), correlation()

    return convolutional


def ceilings(device: str) -> tuple[float, float]:
    """Float32 operations and bytes per second of this device in one large product and one large copy."""
    matrix, memory = torch.rand(8192, 8192, device=device), torch.rand(2**28, device=device)
    copy = torch.empty_like(memory)
    return (
        2 * len(matrix) ** 3 / median_seconds(lambda: matrix @ matrix),
        2 * memory.nbytes / median_seconds(lambda: copy.copy_(memory)),
    )


def floors(work: Work, rates: tuple[float, float]) -> list[float]:
    """Seconds for the operations of the five products of one update, and for their operands and results."""
    machine, x = work.machine(), work.batches[0]
    weight, y = machine.links[0].weight, len(x) * math.prod(machine.shapes(x.shape[1:])[1])
    operations, numbers = 2 * y * weight[0].numel(), x.numel() + y + weight.numel()
    return [5 * operations / rates[0], 5 * x.element_size() * numbers / rates[1]]


def seconds(work: Callable[[], object]) -> float:
    """Time of one call, including all its work on a GPU."""
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def median_seconds(work: Callable[[], object], repeats: int = 15) -> float:
    """Median time of a call, after one that warms up."""
    work()
    return statistics.median(seconds(work) for _ in range(repeats))


def updates(work: Work, generator: torch.Generator, precision: str = "float32") -> Callable[[list[Tensor]], None]:
    """Updates on batches as the trainer takes them, without anything around them."""
    settings = LayerSettings(rate=0.01, updates=10**9, precision=precision)  # type: ignore[arg-type]
    trainer = Trainer(work.machine().to(generator.device), settings, generator=generator)
    trainer.initialize(torch.cat(work.batches[:10]))
    return lambda batches: deque(trainer.steps(batches, log_every=10**9), maxlen=0)


def end_to_end(work: Work, device: str) -> Callable[[], None]:
    """A training as `convdbn train` runs it, into a folder."""
    images = ArrayImages(torch.cat(work.batches).cpu().view(-1, *work_shape(work)))
    batch = len(work.batches[0])
    layer = LayerSettings(filters=work.filters, kernel=work.kernel, rate=0.01, updates=work.updates, batch=batch)

    def train() -> None:
        with tempfile.TemporaryDirectory() as folder:
            train_greedily(Recipe(layers=(layer,)), images, folder=Path(folder), device=device)

    return train


def work_shape(work: Work) -> tuple[int, ...]:
    """Shape of a picture; vectors are one row of pixels."""
    shape = tuple(work.batches[0].shape[1:])
    return shape if len(shape) == 3 else (1, 1, *shape)


def measure(
    work: Work, generator: torch.Generator, rounds: int, rates: tuple[float, float] | None
) -> dict[str, object]:
    """Medians of alternate timings, after one round of warm-up. `rates` are the maximal rates of a GPU."""
    device = generator.device.type
    floor, precisions = products(work), ["bfloat16", "tf32"] if rates else ["bfloat16"]
    runs: dict[str, Callable[[list[Tensor]], object]] = {
        "updates": updates(work, generator),
        "floor": lambda batches: [floor() for _ in batches],
        **{precision: updates(work, generator, precision) for precision in precisions},
    }
    training, scale = end_to_end(work, device), work.pictures / len(work.batches[0])
    turns = [work.batches[first : first + TURN[device]] for first in range(0, len(work.batches), TURN[device])]
    times: dict[str, list[float]] = {name: [] for name in [*runs, "end to end", "updates of a round"]}
    for number in range(rounds + 1):
        for turn in turns:
            for name, run in runs.items():
                taken = seconds(lambda run=run, turn=turn: run(turn)) / len(turn)
                if number:
                    times[name].append(taken * scale)
        whole = seconds(training) / work.updates
        if number:
            times["end to end"].append(whole * scale)
            times["updates of a round"].append(statistics.median(times["updates"][-len(turns) :]))

    def typical(name: str) -> float:
        return round(statistics.median(times[name]), 5)

    def ratio(name: str, to: str) -> float:
        return round(statistics.median(a / b for a, b in zip(times[name], times[to], strict=True)), 3)

    def by_the_device() -> dict[str, float]:
        if rates is None:
            return {}
        arithmetic, memory = (scale * floor for floor in floors(work, rates))
        return {
            "arithmetic_floor_seconds": round(arithmetic, 5),
            "memory_floor_seconds": round(memory, 5),
            "ratio_to_larger_floor": round(statistics.median(times["updates"]) / max(arithmetic, memory), 2),
        }

    return {
        "pictures": work.pictures,
        "batch": len(work.batches[0]),
        "seconds": typical("updates"),
        "floor_seconds": typical("floor"),
        "ratio": ratio("updates", "floor"),
        "fastest_and_slowest": [round(extreme(times["updates of a round"]), 5) for extreme in (min, max)],
        "end_to_end_seconds": typical("end to end"),
        "end_to_end_ratio": ratio("end to end", "updates of a round"),
        **{f"{precision}_seconds": typical(precision) for precision in precisions},
        **{f"{precision}_ratio": ratio(precision, "updates") for precision in precisions},
        **by_the_device(),
    }


def pictures(data_root: str | None, count: int) -> tuple[Tensor, str]:
    """MNIST, or noise if the data set is not available (the work is the same)."""
    try:
        return torch.as_tensor(open_images("mnist", data_root=data_root)[torch.arange(count)]), "mnist"
    except DataError:
        return torch.rand(count, 1, 28, 28, generator=torch.Generator().manual_seed(0)), "noise"


def main() -> None:
    command = parser(__doc__, "--device")
    command.add_argument("--data-root", help="folder that holds MNIST; noise takes its place without")
    command.add_argument("--rounds", type=int, default=9)
    command.add_argument(
        "--batch", type=int, nargs="+", default=[100], help="pictures in a batch (a fifth of it in the wide layer)"
    )
    options = command.parse_args()
    torch.set_num_threads(2)
    generator = torch.Generator(options.device).manual_seed(0)
    rates = None if options.device == "cpu" else ceilings(options.device)
    digits, source = pictures(options.data_root, 10_000)
    result: dict[str, object] = {"data": source, "threads": 2, "device": options.device, "rounds": options.rounds}
    if rates:
        result |= {"device_name": torch.cuda.get_device_name(), "operations_a_second": rates[0]}
        result |= {"bytes_a_second": rates[1]}
    for batch in options.batch:
        for name, work in works(digits, batch, options.device).items():
            key = name if batch == options.batch[0] else f"{name}_{batch}"
            result[key] = measure(work, generator, options.rounds, rates)
            print(f"{key}: {result[key]}", file=sys.stderr)
    suffix = "" if options.device == "cpu" else f"_{torch.device(options.device).type}"
    write(Path(f"results/bench_speed{suffix}.json"), result)


def works(digits: Tensor, batch: int, device: str) -> dict[str, Work]:
    """The shapes, with pictures in batches of this size."""
    noise = torch.Generator().manual_seed(0)
    maps = torch.rand(10_000, 40, 10, 10, generator=noise).lt(0.1).float()
    wide = torch.rand(batch * 4, 1, 32, 32, generator=noise)

    def batched(x: Tensor, size: int) -> list[Tensor]:
        return list(x.to(device).split(size))

    updates = UPDATES[torch.device(device).type] // batch
    return {
        "rbm": Work(batched(digits.flatten(1), batch), 500, 0, 60_000, updates),
        "conv1": Work(batched(digits, batch), 40, 9, 10_000, updates),
        "conv2": Work(batched(maps, batch), 40, 5, 10_000, updates),
        "wide": Work(batched(wide, batch // 5), 256, 7, batch // 5, updates),
    }


if __name__ == "__main__":
    main()
