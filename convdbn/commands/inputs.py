"""What is handed to a command becomes pictures for its model."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from convdbn.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from convdbn.images import Images
    from convdbn.models.classifier import Classifier
    from convdbn.models.stack import Stack

PIXELS = "in the pixels of pictures"


TEST_SPLIT = ("digits", "mnist", "fashion-mnist", "caltech101")
"""Data sets whose test pictures serve as the held-out ones of the free-energy gap; they decide nothing."""


def pictures_for(
    model: "Stack | Classifier",
    data: str | Path,
    data_root: str | Path | None,
    download: bool,
    split: Literal["train", "test"] = "train",
) -> "Images":
    """The pictures, in as many channels as the model takes."""
    from convdbn.images import open_images

    return open_images(data, data_root=data_root, split=split, download=download, gray=model.channels == 1)


def labeled_data(
    model: "Stack | Classifier", data: str | Path, data_root: str | Path | None, download: bool
) -> tuple["Images", "Images"]:
    """Training and test pictures with labels."""
    train = pictures_for(model, data, data_root, download)
    if str(data) in TEST_SPLIT:
        return train, pictures_for(model, data, data_root, download, "test")
    from convdbn.images import stratified

    return stratified(train, "train"), stratified(train, "test")


def parted_data(
    model: "Stack", data: str | Path, data_root: str | Path | None, download: bool
) -> tuple["Images", "Images"]:
    """Training and test pictures, with labels or without; of a folder a tenth are the test pictures."""
    if str(data) in TEST_SPLIT:
        return labeled_data(model, data, data_root, download)
    from convdbn.images.splits import hold_out

    whole = pictures_for(model, data, data_root, download)
    train, test = hold_out(whole, len(whole), seed=0)
    if test is None:
        raise UsageError(f"data={str(data)!r}: {len(whole)} pictures, of which a tenth are tested; take at least 10")
    return train, test


def first_batch(model: "Stack", images: "Images", count: int) -> "Tensor":
    """The first pictures as one batch."""
    return model.transform.batch(images, range(min(count, len(images))))


def space(model: "Stack") -> str:
    """What was done to the pictures that layer 1 sees."""
    steps = [step["kind"] for step in model.transform.spec()]
    return f"in the space of pictures after {', '.join(steps)}" if steps else PIXELS
