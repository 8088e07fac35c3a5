"""MNIST test error of classification RBMs: generative, discriminative and hybrid (Larochelle and Bengio 2008).

    python scripts/classify_rbm.py --data-root DIR [--quick] [--device cuda]

Each is trained on all 60,000 pictures, their bits drawn anew at every presentation; its own label units answer, from
the pixels as they are. --quick: a tenth of the updates. Writes results/classify_rbm.json (--quick:
classify_rbm_quick.json); a second run continues an interrupted one.
"""

from pathlib import Path
from time import perf_counter
from typing import Any

from reporting import Ledger, fingerprint, parser, write

import convdbn
from convdbn import recipes

KINDS: dict[str, dict[str, Any]] = {
    "generative": {"discriminative": 0.0, "generative": 1.0, "rate": 0.05},
    "discriminative": {"generative": 0.0, "filters": [500], "rate": 0.5},
    "hybrid": {},
}
"""Changes of the recipe classification_rbm."""


def main() -> None:
    options = parser(__doc__, "--data-root", "--quick", "--device").parse_args()
    name = "classify_rbm_quick" if options.quick else "classify_rbm"
    data: dict[str, Any] = {"data": "mnist", "data_root": options.data_root, "device": options.device}
    plans = {}
    for kind, fields in KINDS.items():
        updates = recipes.load("classification_rbm", **fields).layers[0].updates
        plans[kind] = {**fields, "updates": updates // 10 if options.quick else updates}
    ledger = Ledger(name, fingerprint(plans))

    def trained(kind: str, fields: dict[str, Any]) -> dict[str, Any]:
        start, folder = perf_counter(), Path("runs", f"{name}_{kind}")
        convdbn.train(recipe="classification_rbm", output_dir=folder, resume=True, **data, **fields)
        seconds = round(perf_counter() - start, 1)
        error = convdbn.label_error(folder, **data)["error"]
        return {"error": round(error, 2), "train_seconds": seconds, "recipe": fields}

    figures = {kind: ledger.get(kind, lambda k=kind, f=fields: trained(k, f)) for kind, fields in plans.items()}
    write(
        Path("results", f"{name}.json"),
        {
            **figures,
            "protocol": "60,000 training pictures, bits drawn anew at every presentation; 10,000 test pictures, "
            "pixels as they are; no early stopping",
            "seed": 0,
            "seconds": ledger.close(),
        },
    )


if __name__ == "__main__":
    main()
