"""Networks of natural scenes and of objects, shared by the scripts that measure and draw them.

Three layers learn from half of the pictures of an object, or of four at once. Runs stay in runs/, where an
interrupted one goes on.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch

from convdbn import recipes
from convdbn.images import ArrayImages, FolderImages, Images, Resize
from convdbn.learning.checkpoint import read_metadata
from convdbn.models import stack
from convdbn.models.greedy import GreedyTraining
from convdbn.models.stack import Stack
from convdbn.recipes import Recipe


class Object(NamedTuple):
    """A folder of Caltech-101, and the height and width at which layer 3 sees a whole face, wheel or car."""

    folder: str
    size: tuple[int, int]


OBJECTS = {
    "faces": Object("Faces_easy", (84, 72)),
    "motorbikes": Object("Motorbikes", (76, 108)),
    "cars": Object("car_side", (100, 148)),
}
MIXTURE = ("Faces_easy", "Motorbikes", "car_side", "airplanes")
MIXTURE_SIZE = (84, 100)
MIXTURE_FILTERS = (24, 60, 100)
"""Four objects have more parts than one."""
MOST = 200
"""Pictures of an object that are learned from, at most."""


def natural(data_root: str) -> Stack:
    """The layers of the recipe natural, learned on the training pictures of BSDS500."""
    return _trained(recipes.load("natural"), FolderImages(Path(data_root, "bsds500", "train")), "natural")


def learned(data_root: str, name: str) -> Stack:
    """The three layers of an object, or of the mixture of four."""
    if name == "mixture":
        parts = [half(data_root, folder, first=True).select(range(MOST // 4)) for folder in MIXTURE]
        images = ArrayImages(torch.cat([resized(part, MIXTURE_SIZE) for part in parts]))
        return _trained(_plan(MIXTURE_SIZE, filters=list(MIXTURE_FILTERS)), images, name)
    folder, size = OBJECTS[name]
    return _trained(_plan(size), half(data_root, folder, first=True), name)


def _plan(size: tuple[int, int], **fields: Any) -> Recipe:
    """The recipe parts at this size."""
    resize, *others = recipes.load("parts").transform
    return recipes.load("parts", transform=[{**resize, "size": list(size)}, *others], **fields)


def half(data_root: str, folder: str, *, first: bool) -> Images:
    """Half of a folder's pictures in a fixed random order: those that are learned from, or the others."""
    images = FolderImages(Path(data_root, "caltech101", "101_ObjectCategories", folder))
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    middle = len(images) // 2
    return images.select(order[:middle][:MOST] if first else order[middle:])


def resized(images: Images, size: tuple[int, int]) -> torch.Tensor:
    """Pictures of any sizes as one tensor."""
    resize = Resize(list(size))
    return torch.cat([resize(images[[index]][0][None]) for index in range(len(images))])


def _trained(plan: Recipe, images: Images, name: str) -> Stack:
    """The finished run of this name: found, taken up or begun."""
    folder = Path("runs", "objects", name)
    run = GreedyTraining(plan, images, folder=folder, data={"data": name})
    file = folder / stack.MODEL_FILE
    if file.exists() and recipes.Recipe.from_dict(read_metadata(file)["recipe"]) == plan:
        run.resume(folder)
    return run.run()
