"""MNIST test error of the deep Boltzmann machine 500-1000, fine-tuned (Salakhutdinov and Hinton 2009).

    python scripts/dbm.py --data-root DIR [--quick] [--device cuda]

`dbm_mnist` comes with the package (`python scripts/pretrain.py dbm_mnist` made it). It becomes a network that sees
the pixels and the mean-field probabilities of the second layer, and learns from all labels by backpropagation: from
every batch as it is and, once more, with all its values moved a little the way that raises the loss. Nothing knows
that the pixels lie in a plane. --quick: a tenth of the updates. Writes results/dbm.json (--quick: dbm_quick.json);
a second run continues an interrupted one.
"""

from pathlib import Path
from typing import Any

from reporting import Ledger, fingerprint, parser, write

import convdbn
from convdbn.models.files import WEIGHTS

MODEL = "dbm_mnist"
FINE_TUNING: dict[str, Any] = {
    "epochs": 60, "batch": 100, "rate": 7e-4, "dropout": 0.0, "distort": 0.0, "sample_input": True,
    "adversarial": 0.05, "weight_decay": 0.1, "held_out": 0.0,
}  # fmt: skip


def main() -> None:
    options = parser(__doc__, "--data-root", "--quick", "--device").parse_args()
    name = "dbm_quick" if options.quick else "dbm"
    data: dict[str, Any] = {"data": "mnist", "data_root": options.data_root, "device": options.device}
    tuning = dict(FINE_TUNING)
    if options.quick:
        tuning["epochs"] //= 10
    ledger = Ledger(name, fingerprint(WEIGHTS / f"{MODEL}.safetensors", tuning))

    def tuned() -> dict[str, Any]:
        folder = Path("runs", f"{name}_tuned")
        found = convdbn.finetune(model=MODEL, output_dir=folder, resume=True, **tuning, **data)
        return {"error": round(found["error"], 2)}

    write(
        Path("results", f"{name}.json"),
        {
            "finetuned": ledger.get("finetuned", tuned),
            "protocol": "error % on 10,000 test pictures, 60,000 training pictures, bits of pixels and of q(h2 | v) "
            "drawn anew at every presentation, each batch again with its values moved as raises the loss, no early "
            "stopping",
            "settings": tuning,
            "seed": 0,
            "seconds": ledger.close(),
        },
    )


if __name__ == "__main__":
    main()
