"""Single features as detectors of an object against the background, layer by layer, after training on the object.

    python scripts/object_parts.py --data-root DIR [--quick]

For faces, motorbikes and cars of Caltech-101 the recipe parts learns three layers, without labels, from half of the
pictures of the object (objects.py). Every feature is then a detector: its score for a picture is its strongest
response, and the figure is the area under its precision-recall curve for other pictures of the object against as many
and against four times as many of the background (Lee et al. 2009, section 4.4, do not say how many they take),
averaged over the features of the layer. Also the bits that a feature of the faces' network says about which of the
three objects a picture shows. --quick: cars alone. Writes results/object_parts.json (--quick:
object_parts_quick.json); a second run continues an interrupted one.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from objects import OBJECTS, half, learned
from reporting import Ledger, fingerprint, parser, write

from convdbn import recipes
from convdbn.evaluation.classifiers import Rows
from convdbn.evaluation.selectivity import conditional_entropy, mutual_information, precision_recall_area
from convdbn.images import FolderImages, Images
from convdbn.models.stack import Stack

BACKGROUND = "BACKGROUND_Google"
TESTED = 50
"""Pictures of the object that the curve is drawn from, and a quarter of the backgrounds."""
LAYERS = (1, 2, 3)


def scores(network: Stack, images: Images) -> list[Rows]:
    """The strongest response of every feature to each picture, for every layer: `(N, K)`."""
    parts: list[list[torch.Tensor]] = [[] for _ in LAYERS]
    for index in range(len(images)):
        maps = network.features(torch.stack(list(images[[index]])), sizes="trim")
        for found, layer in zip(parts, maps, strict=True):
            found.append(layer.amax((2, 3)))
    return [torch.cat(rows).numpy() for rows in parts]


def areas(network: Stack, images: Images, background: Images) -> dict[str, Any]:
    """The area of each layer's features, their mean and spread."""
    result = {}
    for layer, positive, negative in zip(LAYERS, scores(network, images), scores(network, background), strict=True):
        area, as_many = (_area(positive, rows) for rows in (negative, negative[:TESTED]))
        result[f"layer_{layer}"] = {
            "area": round(float(area.mean()), 3),
            "area_as_many": round(float(as_many.mean()), 3),
            "spread": round(float(area.std()), 3),
            "best_feature": round(float(area.max()), 3),
        }
    return result


def _area(positive: Rows, negative: Rows) -> Any:
    objects = np.repeat([True, False], [len(positive), len(negative)])
    return precision_recall_area(np.concatenate([positive, negative]), objects)


def main() -> None:
    options = parser(__doc__, "--data-root", "--quick").parse_args()
    name = "object_parts_quick" if options.quick else "object_parts"
    objects = {"cars": OBJECTS["cars"]} if options.quick else OBJECTS
    ledger = Ledger(name, fingerprint(recipes.load("parts"), objects, TESTED))

    background = FolderImages(Path(options.data_root, "caltech101", "101_ObjectCategories", BACKGROUND))
    order = torch.randperm(len(background), generator=torch.Generator().manual_seed(0))
    others = background.select(order[4 * TESTED : 8 * TESTED])  # the recipe was chosen with those before
    result: dict[str, Any] = {}
    networks = {}
    for label in objects:
        networks[label] = learned(options.data_root, label)
        tested = half(options.data_root, objects[label].folder, first=False).select(range(TESTED))
        result[label] = ledger.get(label, lambda n=label, t=tested: areas(networks[n], t, others))
    if not options.quick:
        result["which_object"] = ledger.get("which object", lambda: bits(networks["faces"], options.data_root))
    write(
        Path("results", f"{name}.json"),
        {
            **result,
            "chance": 0.2,
            "chance_as_many": 0.5,
            "protocol": f"layers learned from half of the object's pictures; {TESTED} others against {4 * TESTED} "
            "backgrounds, and against a quarter of these; a feature's score is its strongest response",
            "seed": 0,
            "seconds": ledger.close(),
        },
    )


def bits(network: Stack, data_root: str) -> dict[str, Any]:
    """Mutual information and conditional entropy of the object, given one feature; means over a layer's features."""
    tested = [half(data_root, kind.folder, first=False).select(range(TESTED)) for kind in OBJECTS.values()]
    found = [scores(network, images) for images in tested]
    labels = np.repeat(range(len(found)), TESTED)
    result = {}
    for layer in LAYERS:
        rows = np.concatenate([one[layer - 1] for one in found])
        result[f"layer_{layer}"] = {
            "mutual_information_bits": round(float(mutual_information(rows, labels).mean()), 3),
            "conditional_entropy_bits": round(float(conditional_entropy(rows, labels).mean()), 3),
        }
    return result


if __name__ == "__main__":
    main()
