"""Faces of Caltech-101 split by person, so that no person is in both the training and the test pictures."""

from pathlib import Path

from convdbn.images import FolderImages, Images

KNOWN = 365
"""Faces_easy shows one person after the other: the first 365 pictures are of 22 persons, the other 70 of six others,
and three are drawings."""


def persons(data_root: str) -> tuple[Images, Images]:
    """Training faces, and test faces of other persons."""
    images = FolderImages(Path(data_root, "caltech101", "101_ObjectCategories", "Faces_easy"))
    return images.select(range(KNOWN)), images.select(range(KNOWN, len(images)))
