"""Test log-likelihood of the fully connected models on MNIST, in nats.

    python scripts/likelihood.py --data-root DIR [--quick]

rbm16 and rbm16_flipped are trained here (recipe rbm16_mnist, a minute or two each) and enumerated exactly. The others
come with the package, `python scripts/pretrain.py NAME` having made them; log Z by annealed importance sampling
forwards and in reverse. --quick: a tenth of the updates and of the temperatures. Writes results/likelihood.json
(--quick: likelihood_quick.json); run again after an interruption, it goes on where it stopped.
"""

import argparse
from pathlib import Path
from typing import Any

from reporting import Ledger, fingerprint, write

import convdbn
from convdbn.images import open_images
from convdbn.models.stack import WEIGHTS
from convdbn.readout.likelihood import likelihood
from convdbn.sampling import ais

FLIPPED = [{"kind": "binarize"}, {"kind": "invert"}]
TRAINED: dict[str, dict[str, Any]] = {"rbm16": {}, "rbm16_flipped": {"transform": FLIPPED}}
SHIPPED = {"rbm500": "rbm500_mnist"}
"""Name of the figure -> the package's model."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    name = "likelihood_quick" if options.quick else "likelihood"
    steps = 1450 if options.quick else 14_500
    updates = {"updates": 3000} if options.quick else {}
    where: dict[str, Any] = {"data_root": options.data_root}
    train, test = (open_images("mnist", split=split, **where) for split in ("train", "test"))
    files = [WEIGHTS / f"{model}.safetensors" for model in SHIPPED.values()]
    ledger = Ledger(name, fingerprint(*files, TRAINED, steps, updates))

    def small(folder: Path, fields: dict[str, Any]) -> dict[str, Any]:
        settings = {**where, **fields, **updates, "recipe": "rbm16_mnist", "data": "mnist", "device": "cpu"}
        model = convdbn.train(output_dir=folder, resume=True, **settings)
        return likelihood(model, train, test)

    def shipped(model: str) -> dict[str, Any]:
        return likelihood(convdbn.load(model, device="cpu"), train, test, betas=ais.schedule(steps))

    figures = {
        row: ledger.get(row, lambda row=row, fields=fields: small(Path("runs", f"{name}_{row}"), fields))
        for row, fields in TRAINED.items()
    }
    for row, model in SHIPPED.items():
        figures[row] = ledger.get(row, lambda model=model: shipped(model))
    write(
        Path("results", f"{name}.json"),
        {
            **figures,
            "protocol": "mean over the 10,000 test pictures, nats; rbm16: pixels cut at .5, log Z exact; others: "
            f"pixels drawn once, log Z by {ais.RUNS} runs of {steps} temperatures, forwards from a base with means "
            "of 10,000 training pictures, in reverse from parallel tempering",
            "seed": 0,
            "seconds": ledger.close(),
        },
    )


if __name__ == "__main__":
    main()
