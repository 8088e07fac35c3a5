"""MNIST test error of a stack of denoising autoencoders, fine-tuned with few labels (Vincent et al. 2010).

    python scripts/denoising.py --data-root DIR [--quick] [--device cuda]

The three layers of recipe denoising_mnist are trained on all 60,000 pictures without labels; the network that they
make then learns from some labels, equally many of each digit, beside the same network from random weights. --quick: a
tenth of the updates. Writes results/denoising.json (--quick: denoising_quick.json); a second run continues an
interrupted one.
"""

from pathlib import Path
from typing import Any

from reporting import Ledger, fingerprint, parser, write

import convdbn
from convdbn import recipes

UPDATES = 3000
"""Updates of fine-tuning, whatever the number of labels."""
BATCHES = {1000: 20, 10000: 100}
"""Number of labels -> pictures in an update."""
FINE_TUNING: dict[str, Any] = {"rate": 1e-3, "dropout": 0.2, "distort": 0.0, "held_out": 0.0}


def main() -> None:
    options = parser(__doc__, "--data-root", "--quick", "--device").parse_args()
    name, part = ("denoising_quick", 10) if options.quick else ("denoising", 1)
    data: dict[str, Any] = {"data": "mnist", "data_root": options.data_root, "device": options.device}
    plan, run = recipes.load("denoising_mnist"), Path("runs", f"{name}_layers")
    shortened = {"updates": plan.layers[0].updates // part} if options.quick else {}
    tuning = {
        count: {**FINE_TUNING, "batch": batch, "epochs": UPDATES // part * batch // count}
        for count, batch in BATCHES.items()
    }
    ledger = Ledger(name, fingerprint(plan, shortened, tuning))

    def layers() -> dict[str, Any]:
        convdbn.train(recipe="denoising_mnist", output_dir=run, resume=True, **shortened, **data)
        return {"run": str(run)}

    def tuned(count: int) -> dict[str, Any]:
        folder = Path("runs", f"{name}_{count}")
        found = convdbn.finetune(
            model=run, labels=count, output_dir=folder, baseline=True, resume=True, **tuning[count], **data
        )
        return {key: round(found[key], 2) for key in ("error", "error_from_random_weights")}

    ledger.get("layers", layers)
    write(
        Path("results", f"{name}.json"),
        {
            **{str(count): ledger.get(str(count), lambda count=count: tuned(count)) for count in BATCHES},
            "protocol": "error % on 10,000 test pictures; layers from 60,000 pictures without labels, then the whole "
            "network from the labeled ones, one draw; no early stopping",
            "settings": tuning,
            "seed": 0,
            "seconds": ledger.close(),
        },
    )


if __name__ == "__main__":
    main()
