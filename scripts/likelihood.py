"""Test log-likelihood of the fully connected models on MNIST, in nats.

    python scripts/likelihood.py --data-root DIR [--quick]

rbm16, rbm16_flipped and rbm500_10_epochs are trained here, a minute or two each; the others come with the package,
`python scripts/pretrain.py rbm500_mnist` and so on having made them. log Z is exact for 16 hidden units, and
otherwise by annealed importance sampling forwards and in reverse. --quick: a tenth of the updates and of the
temperatures. Writes results/likelihood.json (--quick: likelihood_quick.json); a second run continues an
interrupted one.
"""

from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from reporting import Ledger, fingerprint, parser, write

import convdbn
from convdbn import recipes
from convdbn.evaluation.likelihood import likelihood
from convdbn.images import open_images
from convdbn.models.files import WEIGHTS
from convdbn.models.stack import Stack
from convdbn.sampling import ais

FLIPPED = [{"kind": "binarize"}, {"kind": "invert"}]
TRAINED: dict[str, dict[str, Any]] = {
    "rbm16": {"recipe": "rbm16_mnist"},
    "rbm16_flipped": {"recipe": "rbm16_mnist", "transform": FLIPPED},
    "rbm500_10_epochs": {"recipe": "rbm500_mnist", "updates": 6000},
}
SHIPPED = {"rbm500": "rbm500_mnist", "dbn500_2000": "dbn_mnist", "dbm500_1000": "dbm_mnist"}
"""Name of the figure -> the package's model; what is a lower bound is called `bound`."""


def rounded(figures: dict[str, Any]) -> dict[str, Any]:
    """Nats to hundredths."""

    def one(value: Any) -> Any:
        return [one(x) for x in value] if isinstance(value, list) else round(value, 2)

    return {name: one(x) if isinstance(x, list | float) else x for name, x in figures.items()}


def main() -> None:
    options = parser(__doc__, "--data-root", "--quick").parse_args()
    name = "likelihood_quick" if options.quick else "likelihood"
    betas = ais.schedule(1450 if options.quick else 14_500)
    plans = {}
    for row, fields in TRAINED.items():
        updates = recipes.load(**fields).layers[0].updates
        plans[row] = {**fields, "updates": updates // 10 if options.quick else updates}
    torch.set_num_threads(2)
    where: dict[str, Any] = {"data_root": options.data_root}
    train, test = (open_images("mnist", split=split, **where) for split in ("train", "test"))
    ledger = Ledger(name, fingerprint(plans, len(betas)))

    def measured(model: Stack) -> dict[str, Any]:
        found = likelihood(model, train, test, betas=betas)
        if found.pop("bound"):
            found = {name.replace("test_ll", "bound"): value for name, value in found.items()}
        return rounded(found)

    def trained(fields: dict[str, Any]) -> dict[str, Any]:
        start = perf_counter()
        model = convdbn.train(data="mnist", device="cpu", **where, **fields)
        return {"train_seconds": round(perf_counter() - start, 1), **measured(model)}

    figures = {row: ledger.get(row, lambda fields=fields: trained(fields)) for row, fields in plans.items()}
    for row, model in SHIPPED.items():
        entry = f"{row} {fingerprint(WEIGHTS / f'{model}.safetensors')}"
        figures[row] = ledger.get(entry, lambda model=model: measured(convdbn.load(model, device="cpu")))
    write(
        Path("results", f"{name}.json"),
        {
            **figures,
            "protocol": "mean over the 10,000 test pictures, nats; rbm16: pixels cut at .5, log Z exact; others: "
            "training pixels drawn anew at every presentation, test pixels drawn once, log Z by "
            f"{ais.RUNS} runs of {len(betas) - 1} temperatures, forwards from a base with the means of 10,000 "
            "training pictures, and in reverse from states of parallel tempering",
            "seed": 0,
            "seconds": ledger.close(),
        },
    )


if __name__ == "__main__":
    main()
