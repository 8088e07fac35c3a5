"""Pictures of learned layers, as in the figures of Lee et al. (2009), and of samples over time.

    python scripts/figures.py --data-root DIR

Layers 1 and 2 of natural scenes (BSDS500), and layers 2 and 3 of faces, motorbikes, cars, and of four objects of
Caltech-101 together. Writes docs/figures/ natural.png, objects.png and generator.gif, and results/figures.json with
the share of edges among the filters of layer 1, and what features say about which of four objects a picture shows;
a second run continues an interrupted one.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from objects import EACH, MIXTURE, OBJECTS, half, learned, mixture_size, natural, resized
from reporting import Ledger, fingerprint, parser, write

import convdbn
from convdbn import recipes
from convdbn.evaluation.gabor import fit_gabors
from convdbn.evaluation.selectivity import mutual_information
from convdbn.models.stack import Stack
from convdbn.visual import figures, projections

FIGURES = Path("docs", "figures")
GOOD = 0.75
"""Share of a filter's variance above which a Gabor function explains it."""
TESTED = 50


def drawn(networks: dict[str, Stack], layers: tuple[int, ...], file: str) -> None:
    """Linear combinations of every network's layers, one grid below the other."""
    shown = [(name, layer) for name in networks for layer in layers]
    pictures = [projections.linear_combination(networks[name], layer) for name, layer in shown]
    figures.save(figures.filter_grids(pictures, [f"{name}, layer {layer}" for name, layer in shown]), FIGURES / file)


def edges(network: Stack) -> dict[str, Any]:
    """How the filters of layer 1 lie over orientation and frequency, and how many of them are edges."""
    found = fit_gabors(projections.linear_combination(network, 1)[:, 0])
    good = found.explained >= GOOD
    turned = np.histogram(np.degrees(found.orientation[good]), bins=6, range=(0, 180))[0]
    return {
        "filters": len(good),
        "good_share": round(float(good.mean()), 3),
        "explained": [round(float(x), 3) for x in np.sort(found.explained)],
        "orientations_by_30_degrees": turned.tolist(),
        "frequencies": [round(float(x), 3) for x in np.sort(found.frequency[good])],
    }


def which_object(network: Stack, data_root: str) -> dict[str, float]:
    """Bits that a feature of each layer says about which of the four objects a picture shows, mean over features."""
    tested = [half(data_root, folder, first=False).select(range(TESTED)) for folder in MIXTURE]
    pictures = torch.cat([resized(images, mixture_size()) for images in tested])
    labels = np.repeat(range(len(MIXTURE)), TESTED)
    maps = [network.features(batch, sizes="trim") for batch in pictures.split(20)]
    scores = [torch.cat([x[depth].amax((2, 3)) for x in maps]) for depth in range(3)]
    return {
        f"layer_{depth}": round(float(mutual_information(rows.numpy(), labels).mean()), 3)
        for depth, rows in enumerate(scores, start=1)
    }


def main() -> None:
    options = parser(__doc__, "--data-root").parse_args()
    ledger = Ledger("figures", fingerprint(recipes.load("natural"), recipes.load("objects"), MIXTURE, EACH))
    scenes = natural(options.data_root)
    drawn({"natural scenes": scenes}, (1, 2), "natural.png")
    networks = {name: learned(options.data_root, name) for name in (*OBJECTS, "mixture")}
    drawn(networks, (2, 3), "objects.png")
    convdbn.sample(model="dbn_mnist", output=FIGURES / "generator.gif", count=36, sweeps=5, frames=40, device="cpu")
    write(
        Path("results", "figures.json"),
        {
            "natural_layer_1": ledger.get("edges", lambda: edges(scenes)),
            "mixture_bits": ledger.get("bits", lambda: which_object(networks["mixture"], options.data_root)),
            "protocol": f"an edge: a Gabor function explains at least {GOOD} of the filter's variance; bits: about "
            f"which of four objects {4 * TESTED} unseen pictures show, from a feature's strongest response, mean "
            "over the features of a layer",
            "seed": 0,
            "seconds": ledger.close(),
        },
    )


if __name__ == "__main__":
    main()
