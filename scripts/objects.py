"""Networks of natural scenes and of objects, shared by the scripts that measure and draw them.

Three layers learn from half of the pictures of an object, or of four at once. Runs stay in runs/, where an
interrupted one goes on.
"""

from pathlib import Path
from typing import NamedTuple

import torch

from convdbn import recipes
from convdbn.images import ArrayImages, FolderImages, Images, Resize
from convdbn.learning.greedy import train_greedily
from convdbn.models.stack import Stack
from convdbn.recipes import Recipe
from convdbn.storage.checkpoint import FILES, read_metadata

RUNS = Path("runs", "objects")


class Object(NamedTuple):
    """A folder of Caltech-101, the height and width at which layer 2 sees parts and layer 3 most of the object, and
    the epsilon of the local contrast: cars stand before lines that a small one would raise."""

    folder: str
    size: tuple[int, int]
    epsilon: float


OBJECTS = {
    "faces": Object("Faces_easy", (50, 43), 0.25),
    "motorbikes": Object("Motorbikes", (54, 76), 0.25),
    "cars": Object("car_side", (55, 81), 2.0),
}
MIXTURE = ("Faces_easy", "Motorbikes", "car_side", "airplanes")
EACH = 60
"""Pictures of each kind of object in the mixture: no half of a folder has fewer."""
MOST = 200
"""Pictures of an object that are learned from alone, at most."""


def natural(data_root: str) -> Stack:
    """The layers of the recipe natural, learned on the training pictures of BSDS500."""
    return trained(recipes.load("natural"), FolderImages(Path(data_root, "bsds500", "train")), RUNS / "natural")


def learned(data_root: str, name: str) -> Stack:
    """The three layers of an object, or of the mixture of four."""
    if name == "mixture":
        parts = [half(data_root, folder, first=True).select(range(EACH)) for folder in MIXTURE]
        images = ArrayImages(torch.cat([resized(part, mixture_size()) for part in parts]))
        return trained(recipes.load("objects"), images, RUNS / name)
    folder, size, epsilon = OBJECTS[name]
    resize, whiten, contrast = recipes.load("parts").transform
    transform = [{**resize, "size": list(size)}, whiten, {**contrast, "epsilon": epsilon}]
    return trained(recipes.load("parts", transform=transform), half(data_root, folder, first=True), RUNS / name)


def mixture_size() -> list[int]:
    """Height and width of the pictures of the mixture."""
    size: list[int] = recipes.load("objects").transform[0]["size"]
    return size


def half(data_root: str, folder: str, *, first: bool) -> Images:
    """Half of a folder's pictures in a fixed random order: those that are learned from, or the others."""
    images = FolderImages(Path(data_root, "caltech101", "101_ObjectCategories", folder))
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    middle = len(images) // 2
    return images.select(order[:middle][:MOST] if first else order[middle:])


def resized(images: Images, size: list[int]) -> torch.Tensor:
    """Pictures of any sizes as one tensor."""
    resize = Resize(size)
    return torch.cat([resize(images[[index]][0][None]) for index in range(len(images))])


def trained(plan: Recipe, images: Images, folder: Path, *, device: str = "cpu") -> Stack:
    """The finished run in the folder, whose name is that of the pictures: found, taken up or begun."""
    file = folder / FILES["model"]
    resume = file.exists() and recipes.Recipe.from_dict(read_metadata(file)["recipe"]) == plan
    return train_greedily(plan, images, folder=folder, data={"data": folder.name}, resume=resume, device=device)
