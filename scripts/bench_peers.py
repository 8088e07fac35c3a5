"""The same RBM and convolutional RBM in convdbn and in other packages, timed alternately in one run.

    python scripts/bench_peers.py [--data-root DIR] [--rounds N]

RBM 784-500 on 60,000 pictures, one epoch of batches of 100; convolutional RBM with 40 filters 9x9 on 10,000. Times
scikit-learn, learnergy and rbms if they are installed; the script installs nothing. `notes` describe the differences.
Medians over the rounds; writes results/bench_peers.json and prints the table.
"""

import contextlib
import importlib.util
import io
import logging
import statistics
from collections import deque
from collections.abc import Callable
from pathlib import Path

import torch
from bench_speed import pictures, seconds
from reporting import parser, write
from torch import Tensor

from convdbn.energy import BoltzmannMachine
from convdbn.learning.trainer import Trainer
from convdbn.models.machines import conv_rbm, rbm
from convdbn.recipes import LayerSettings

BATCH, HIDDEN, FILTERS, KERNEL = 100, 500, 40, 9
Run = Callable[[], object]

NOTES = {
    "scikit-learn": "BernoulliRBM.partial_fit; PCD-1; no momentum",
    "learnergy": "RBM.fit and ConvRBM.fit, CD-1; no max-pooling; with its loader and metrics",
    "rbms": "fit_batch_pcd, PCD-1 with centering; no momentum; data in memory",
    "convdbn": "CD-1, momentum; probabilistic max-pooling 2x2",
}


def own(machine: BoltzmannMachine, data: Tensor) -> Run:
    generator = torch.Generator().manual_seed(0)
    trainer = Trainer(machine, LayerSettings(rate=0.01, updates=10**9), generator=generator)
    trainer.initialize(data[:1000])
    return lambda: deque(trainer.steps(data.split(BATCH), log_every=10**9), maxlen=0)


def scikit_learn(data: Tensor) -> Run:
    from sklearn.neural_network import BernoulliRBM

    model, batches = BernoulliRBM(HIDDEN, learning_rate=0.01, random_state=0), [x.numpy() for x in data.split(BATCH)]
    return lambda: [model.partial_fit(batch) for batch in batches]


def learnergy_rbm(data: Tensor) -> Run:
    from learnergy.models.bernoulli import RBM

    model = RBM(n_visible=data.shape[1], n_hidden=HIDDEN, learning_rate=0.01, use_gpu=False)
    return quiet(lambda: model.fit(torch.utils.data.TensorDataset(data, data), batch_size=BATCH, epochs=1))


def learnergy_conv(data: Tensor) -> Run:
    from learnergy.models.bernoulli import ConvRBM

    model = ConvRBM(
        visible_shape=tuple(data.shape[2:]),
        filter_shape=(KERNEL, KERNEL),
        n_filters=FILTERS,
        n_channels=1,
        learning_rate=0.01,
        use_gpu=False,
    )
    return quiet(lambda: model.fit(torch.utils.data.TensorDataset(data, data), batch_size=BATCH, epochs=1))


def rbms_package(data: Tensor) -> Run:
    from types import SimpleNamespace

    from rbms.bernoulli_bernoulli.classes import BBRBM
    from rbms.training.pcd import fit_batch_pcd

    cpu = torch.device("cpu")
    model = BBRBM.init_parameters(HIDDEN, SimpleNamespace(data=data.numpy()), cpu, torch.float32)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, maximize=True)
    chains, weights = model.init_chains(BATCH), torch.ones(BATCH, 1)

    def epoch() -> None:
        nonlocal chains
        for batch in data.split(BATCH):
            optimizer.zero_grad(set_to_none=False)
            chains, _ = fit_batch_pcd((batch, weights), chains, model, gibbs_steps=1, beta=1.0)
            optimizer.step()

    return epoch


def quiet(run: Run) -> Run:
    """Silences the progress bars and log lines of other packages, so that they cost no time."""
    logging.getLogger("learnergy").setLevel(logging.ERROR)

    def silent() -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            run()

    return silent


def timed(runs: dict[str, Run], rounds: int) -> dict[str, dict[str, float]]:
    """Median seconds of each, in turn, and their ratio to convdbn's in the same round."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            taken = seconds(run)
            if number:
                times[name].append(taken)
    own_times = times["convdbn"]
    return {
        name: {
            "seconds": round(statistics.median(taken), 2),
            "ratio": round(statistics.median(a / b for a, b in zip(taken, own_times, strict=True)), 2),
        }
        for name, taken in times.items()
    }


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--data-root", help="folder that holds MNIST; noise takes its place without")
    command.add_argument("--rounds", type=int, default=3)
    options = command.parse_args()
    torch.set_num_threads(2)
    digits, source = pictures(options.data_root, 60_000)
    vectors, few = digits.flatten(1), digits[:10_000]
    dense: dict[str, Run] = {"convdbn": own(rbm(784, HIDDEN), vectors)}
    convolutional: dict[str, Run] = {"convdbn": own(conv_rbm(1, FILTERS, KERNEL), few)}
    for package, name, make, runs, data in (
        ("sklearn", "scikit-learn", scikit_learn, dense, vectors),
        ("learnergy", "learnergy", learnergy_rbm, dense, vectors),
        ("rbms", "rbms", rbms_package, dense, vectors),
        ("learnergy", "learnergy", learnergy_conv, convolutional, few),
    ):
        if importlib.util.find_spec(package) is None:
            print(f"{name}: not installed, left out")
        else:
            runs[name] = make(data)
    result = {"rbm": timed(dense, options.rounds), "conv1": timed(convolutional, options.rounds)}
    for work, rows in result.items():
        for name, row in rows.items():
            print(f"{work:6} {name:13} {row['seconds']:8.2f} s  x {row['ratio']:.2f}")
    write(Path("results/bench_peers.json"), {"data": source, "rounds": options.rounds, **result, "notes": NOTES})


if __name__ == "__main__":
    main()
