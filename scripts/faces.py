"""Faces of Caltech-101 parted by person, so that the faces that are completed are of nobody who was learned from."""

from pathlib import Path

from convdbn import recipes
from convdbn.images import FolderImages, Images
from convdbn.models.greedy import GreedyTraining
from convdbn.models.stack import MODEL_FILE

KNOWN = 365
"""Faces_easy shows one person after the other: the first 365 pictures are of 22 persons, the other 70 of six others,
and three are drawings."""


def persons(data_root: str) -> tuple[Images, Images]:
    """Faces to learn from, and those of other persons."""
    images = FolderImages(Path(data_root, "caltech101", "101_ObjectCategories", "Faces_easy"))
    return images.select(range(KNOWN)), images.select(range(KNOWN, len(images)))


def learn(name: str, data_root: str, run: Path, *, device: str) -> None:
    """Train the recipe of this name on the known persons; a run that the folder holds is taken up."""
    training = GreedyTraining(
        recipes.load(name), persons(data_root)[0], folder=run, data={"data": "faces"}, device=device
    )
    if (run / MODEL_FILE).exists():
        training.resume(run)
    training.run()
