"""Squared error of MNIST pictures decoded from a code of 30 numbers (Hinton and Salakhutdinov 2006).

    python scripts/autoencoder.py --data-root DIR [--quick] [--device cuda]

The four layers of recipe autoencoder_mnist, first after greedy training and then after joint training as an
autoencoder, compared with 30 principal components. --quick: a tenth of the updates. Writes results/autoencoder.json
(--quick: autoencoder_quick.json); a second run continues an interrupted one.
"""

from pathlib import Path
from typing import Any

from reporting import Ledger, fingerprint, parser, write

import convdbn
from convdbn import recipes

REFINING: dict[str, Any] = {"method": "autoencoder", "epochs": 80, "batch": 200, "rate": 0.004, "distort": 0.5}


def rounded(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: round(x, 3) if isinstance(x, float) else x for name, x in figures.items()}


def main() -> None:
    options = parser(__doc__, "--data-root", "--quick", "--device").parse_args()
    name = "autoencoder_quick" if options.quick else "autoencoder"
    data: dict[str, Any] = {"data": "mnist", "data_root": options.data_root, "device": options.device}
    plan, refining = recipes.load("autoencoder_mnist"), dict(REFINING)
    shortened: dict[str, Any] = {}
    if options.quick:
        refining["epochs"] //= 10
        shortened = {"updates": plan.layers[0].updates // 10}
    layers, deep = Path("runs", f"{name}_layers"), Path("runs", name)
    ledger = Ledger(name, fingerprint(plan, shortened, refining))

    def greedy() -> dict[str, Any]:
        convdbn.train(recipe="autoencoder_mnist", output_dir=layers, resume=True, **shortened, **data)
        return rounded(convdbn.reconstruction(layers, **data))

    def together() -> dict[str, Any]:
        convdbn.refine(model=layers, output_dir=deep, resume=True, **refining, **data)
        return rounded(convdbn.reconstruction(deep, **data))

    figures = {"layers": ledger.get("layers", greedy), "autoencoder": ledger.get("autoencoder", together)}
    write(
        Path("results", f"{name}.json"),
        {
            **figures,
            "protocol": "squared error of a test picture with pixels in [0, 1], summed over its 784 pixels, mean of "
            "10,000; 60,000 training pictures, distorted anew at every presentation where all layers learn at once, "
            "no early stopping",
            "refining": refining,
            "seed": 0,
            "seconds": ledger.close(),
        },
    )


if __name__ == "__main__":
    main()
