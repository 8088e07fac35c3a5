"""Growth of time and memory with the number and the size of pictures, and features beside bare convolutions.

    python scripts/bench_scaling.py [--most N] [--rounds N]

Each batch of pictures is generated on demand, so memory holds no others. Trains one convolutional layer on 10,000
to `--most` pictures and gives time per picture and peak memory; updates on pictures of 28x28 to 512x512 and gives
time per pixel of the hidden layer; extracts features and compares with the bare convolutions of the same network.
Writes results/bench_scaling.json.
"""

import resource
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from bench_speed import seconds
from reporting import parser, write
from torch import Tensor
from torch.nn import functional as F

from convdbn.images import Images, Pipeline
from convdbn.learning.greedy import train_greedily
from convdbn.learning.trainer import Trainer
from convdbn.models.extract import extract
from convdbn.models.machines import conv_rbm
from convdbn.models.stack import Stack
from convdbn.recipes import LayerSettings, Recipe

FILTERS, KERNEL = 24, 9
FEWEST = 10_000
"""Pictures in the smallest training."""
SIZES = (28, 64, 128, 256, 512)
PIXELS_IN_BATCH = 512 * 512


class Generated(Images):
    """`count` pictures of noise; each batch is drawn on demand."""

    name, labels, classes = "noise", None, []

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, indices: Any) -> Tensor:
        index = self._index_tensor(indices)
        generator = torch.Generator().manual_seed(int(index[0]))
        return torch.rand(len(index), 1, 28, 28, generator=generator)


def by_count(most: int) -> dict[str, Any]:
    """One pass over each number of pictures, and the peak memory after it; in ascending order, because the peak never
    falls.

    Before and after each pass, five passes over the smallest number measure the speed of the machine at that time.
    """

    def microseconds(count: int) -> float:
        layer = LayerSettings(filters=FILTERS, kernel=KERNEL, rate=0.01, batch=100, updates=count // 100)
        return 1e6 * seconds(lambda: train_greedily(Recipe(layers=(layer,)), Generated(count))) / count

    rows: dict[str, Any] = {}
    microseconds(FEWEST)
    count, before = FEWEST, [microseconds(FEWEST) for _ in range(5)]
    while count <= most:
        taken = microseconds(count)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        after = [microseconds(FEWEST) for _ in range(5)]
        rows[str(count)] = {
            "microseconds_per_picture": round(taken, 1),
            "to_fewest_before_and_after": round(taken / statistics.median(before + after), 2),
            "peak_gib": round(peak, 2),
        }
        print(f"{count} pictures: {rows[str(count)]}", file=sys.stderr)
        count, before = count * 10, after
    return rows


def by_size(rounds: int) -> dict[str, Any]:
    """One update on about equally many pixels in pictures of each size, timed alternately."""
    generator = torch.Generator().manual_seed(0)
    trainers, batches = {}, {}
    for size in SIZES:
        batches[size] = torch.rand(PIXELS_IN_BATCH // size**2, 1, size, size, generator=generator)
        machine = conv_rbm(1, FILTERS, KERNEL)
        trainers[size] = Trainer(machine, LayerSettings(rate=0.01, updates=10**9), generator=generator)
        trainers[size].initialize(batches[size])
    times: dict[int, list[float]] = {size: [] for size in SIZES}
    for number in range(rounds + 1):
        for size in SIZES:
            taken = seconds(lambda size=size: trainers[size].update((batches[size], None)))
            if number:
                hidden = trainers[size].machine.shapes((1, size, size))[1]
                times[size].append(1e9 * taken / (len(batches[size]) * hidden[1] * hidden[2]))
    return {str(size): round(statistics.median(times[size]), 1) for size in SIZES}


def features(rounds: int) -> dict[str, Any]:
    """All layers of a network on the same pictures, and its convolutions alone, timed alternately."""
    machines = [conv_rbm(1, 40, 9), conv_rbm(40, 40, 5)]
    for machine in machines:
        torch.nn.init.normal_(machine.links[0].weight, std=0.05)
    stack, images = Stack(Pipeline(), machines, (1, 28, 28)), Generated(1_000)
    first, second = (machine.links[0].weight.detach() for machine in machines)

    @torch.no_grad()
    def bare() -> None:
        for start in range(0, len(images), 100):
            maps = F.conv2d(images[torch.arange(start, start + 100)], first)
            F.conv2d(maps[..., :10, :10].contiguous(), second)  # the size after pooling

    pairs = []
    for number in range(5 * rounds + 1):  # short turns, so that both run under the same load of a shared machine
        pair = seconds(lambda: extract(stack, images, 2)), seconds(bare)
        if number:
            pairs.append(pair)
    return {
        "microseconds_per_picture": round(1e6 * statistics.median(a for a, _ in pairs) / len(images), 1),
        "bare_microseconds_per_picture": round(1e6 * statistics.median(b for _, b in pairs) / len(images), 1),
        "share_of_bare_speed": round(statistics.median(b / a for a, b in pairs), 3),
    }


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--most", type=int, default=1_000_000, help="pictures in the largest training")
    command.add_argument("--rounds", type=int, default=9)
    options = command.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(0)
    result = {
        "by_count": by_count(options.most),
        "nanoseconds_per_hidden_position_by_size": by_size(options.rounds),
        "features": features(options.rounds),
    }
    print(result, file=sys.stderr)
    write(Path("results/bench_scaling.json"), result)


if __name__ == "__main__":
    main()
