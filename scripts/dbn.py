"""MNIST test error of the deep belief network 500-500-2000 (Hinton, Osindero and Teh 2006; Hinton 2007).

    python scripts/dbn.py --data-root DIR [--quick] [--device cuda]

Recipe dbn_labels_mnist, whose top machine has label units: as it is, after up-down learning, and as a classifier
fine-tuned by backpropagation. Nothing knows that the pixels lie in a plane. --quick: a tenth of the updates. Writes
results/dbn.json (--quick: dbn_quick.json); a second run continues an interrupted one.
"""

from pathlib import Path
from typing import Any

from reporting import Ledger, fingerprint, parser, write

import convdbn
from convdbn import recipes

UP_DOWN: dict[str, Any] = {"method": "up-down", "epochs": 80, "batch": 100, "rate": 7e-4, "k": 3, "k_end": 5}
FINE_TUNING: dict[str, Any] = {
    "epochs": 30, "batch": 100, "rate": 1e-3, "dropout": 0.3, "distort": 0.0, "sample_input": True, "held_out": 0.0,
}  # fmt: skip


def main() -> None:
    options = parser(__doc__, "--data-root", "--quick", "--device").parse_args()
    name = "dbn_quick" if options.quick else "dbn"
    data: dict[str, Any] = {"data": "mnist", "data_root": options.data_root, "device": options.device}
    plan, up_down, tuning, shortened = recipes.load("dbn_labels_mnist"), dict(UP_DOWN), dict(FINE_TUNING), {}
    if options.quick:
        up_down["epochs"], tuning["epochs"] = up_down["epochs"] // 10, tuning["epochs"] // 10
        shortened = {"updates": plan.layers[0].updates // 10}
    run, refined, network = (Path("runs", f"{name}_{part}") for part in ("layers", "up_down", "tuned"))
    ledger = Ledger(name, fingerprint(plan, shortened, up_down, tuning))

    def label_units(checkpoint: Path) -> dict[str, Any]:
        return {"error": round(convdbn.label_error(checkpoint, **data)["error"], 2)}

    def greedy() -> dict[str, Any]:
        convdbn.train(recipe="dbn_labels_mnist", output_dir=run, resume=True, **shortened, **data)
        return label_units(run)

    def woken() -> dict[str, Any]:
        convdbn.refine(model=run, output_dir=refined, resume=True, **up_down, **data)
        return label_units(refined)

    def tuned() -> dict[str, Any]:
        found = convdbn.finetune(model=run, output_dir=network, resume=True, **tuning, **data)
        return {"error": round(found["error"], 2)}

    figures = {
        "greedy": ledger.get("greedy", greedy),
        "up_down": ledger.get("up_down", woken),
        "backprop": ledger.get("backprop", tuned),
    }
    write(
        Path("results", f"{name}.json"),
        {
            **figures,
            "protocol": "error % on 10,000 test pictures, 60,000 training pictures with bits drawn anew at every "
            "presentation, no early stopping; greedy and up_down answer by their label units",
            "up_down_settings": up_down,
            "backprop_settings": tuning,
            "seed": 0,
            "seconds": ledger.close(),
        },
    )


if __name__ == "__main__":
    main()
