"""How well single features tell an object from the background, layer by layer, after learning on the object alone.

    python scripts/object_parts.py --data-root DIR [--quick]

For faces, motorbikes and cars of Caltech-101 the recipe parts learns three layers, without labels, from half of the
pictures of the object (objects.py). Every feature is then a detector: its score for a picture is a high quantile of
its responses in some part of the map (Lee et al. 2009, section 4.4), and the figure is the area under its
precision-recall curve for other pictures of the object against four times as many of the background, averaged over
the features of the layer (the paper does not say how many it takes: the area against as many as there are objects is
given too). Parts and quantile are chosen on training pictures and other backgrounds. Also the bits that a feature of
the faces' network says about which of the three objects a picture shows. --quick: cars alone. Writes
results/object_parts.json (--quick: object_parts_quick.json); run again after an interruption, it goes on where it
stopped.
"""

import argparse
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from objects import OBJECTS, half, learned
from reporting import Ledger, fingerprint, write

from convdbn import recipes
from convdbn.images import FolderImages, Images
from convdbn.models.stack import Stack
from convdbn.readout.classify import Rows
from convdbn.readout.selectivity import conditional_entropy, mutual_information, peak_scores, precision_recall_area

BACKGROUND = "BACKGROUND_Google"
TESTED = 50
"""Pictures of the object that the curve is drawn from, and a quarter of the backgrounds."""
REGIONS = (1, 2, 4)
QUANTILES = (0.9, 0.98, 1.0)
LAYERS = (1, 2, 3)


def scores(network: Stack, images: Images) -> dict[tuple[int, int, float], Rows]:
    """Scores of every feature for every layer, number of regions and quantile: `(N, K)`."""
    parts: dict[tuple[int, int, float], list[torch.Tensor]] = {}
    for index in range(len(images)):
        maps = network.features(torch.stack(list(images[[index]])), trim=True)
        for layer, regions, quantile in itertools.product(LAYERS, REGIONS, QUANTILES):
            found = peak_scores(maps[layer - 1], regions=regions, quantile=quantile)
            parts.setdefault((layer, regions, quantile), []).append(found)
    return {key: torch.cat(rows).numpy() for key, rows in parts.items()}


def areas(network: Stack, seen: Images, unseen: Images, backgrounds: tuple[Images, Images]) -> dict[str, Any]:
    """Mean area of the features of each layer, with the parts and the quantile that suit the seen pictures best."""
    chosen_on = [scores(network, images) for images in (seen, backgrounds[0])]
    tested_on = [scores(network, images) for images in (unseen, backgrounds[1])]
    result = {}
    for layer in LAYERS:
        settings = [(layer, regions, quantile) for regions in REGIONS for quantile in QUANTILES]
        best = max(settings, key=lambda key: _area(chosen_on, key).mean())
        area = _area(tested_on, best)
        as_many = _area([tested_on[0], {best: tested_on[1][best][:TESTED]}], best)
        result[f"layer_{layer}"] = {
            "area": round(float(area.mean()), 3),
            "area_as_many": round(float(as_many.mean()), 3),
            "spread": round(float(area.std()), 3),
            "best_feature": round(float(area.max()), 3),
            "regions": best[1],
            "quantile": best[2],
        }
    return result


def _area(found: list[dict[tuple[int, int, float], Rows]], key: tuple[int, int, float]) -> Any:
    positive = np.repeat([True, False], [len(found[0][key]), len(found[1][key])])
    return precision_recall_area(np.concatenate([found[0][key], found[1][key]]), positive)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    name = "object_parts_quick" if options.quick else "object_parts"
    objects = {"cars": OBJECTS["cars"]} if options.quick else OBJECTS
    ledger = Ledger(name, fingerprint(recipes.load("parts"), objects, TESTED, REGIONS, QUANTILES))

    background = FolderImages(Path(options.data_root, "caltech101", "101_ObjectCategories", BACKGROUND))
    order = torch.randperm(len(background), generator=torch.Generator().manual_seed(0))
    backgrounds = (background.select(order[: 4 * TESTED]), background.select(order[4 * TESTED : 8 * TESTED]))
    result: dict[str, Any] = {}
    networks = {}
    for label, (folder, _) in objects.items():
        networks[label] = learned(options.data_root, label)
        seen, unseen = (half(options.data_root, folder, first=first) for first in (True, False))
        sample, tested = (images.select(range(min(TESTED, len(images)))) for images in (seen, unseen))
        result[label] = ledger.get(label, lambda n=label, s=sample, t=tested: areas(networks[n], s, t, backgrounds))
    if not options.quick:
        result["which_object"] = ledger.get("which object", lambda: bits(networks["faces"], options.data_root))
    write(
        Path("results", f"{name}.json"),
        {
            **result,
            "chance": 0.2,
            "chance_as_many": 0.5,
            "protocol": f"layers learned from half of the object's pictures; {TESTED} others against {4 * TESTED} "
            "backgrounds; parts of the map and quantile chosen on training pictures and other backgrounds",
            "seed": 0,
            "seconds": ledger.close(),
        },
    )


def bits(network: Stack, data_root: str) -> dict[str, Any]:
    """Mutual information and conditional entropy of the object, given one feature; means over a layer's features."""
    tested = [half(data_root, folder, first=False).select(range(TESTED)) for folder, _ in OBJECTS.values()]
    found = [scores(network, images) for images in tested]
    labels = np.repeat(range(len(found)), TESTED)
    result = {}
    for layer in LAYERS:
        rows = np.concatenate([one[layer, 1, 0.98] for one in found])
        result[f"layer_{layer}"] = {
            "mutual_information_bits": round(float(mutual_information(rows, labels).mean()), 3),
            "conditional_entropy_bits": round(float(conditional_entropy(rows, labels).mean()), 3),
        }
    return result


if __name__ == "__main__":
    main()
