"""Data sets by name or folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch

from convdbn.errors import DataError, UsageError
from convdbn.images.arrays import ArrayImages
from convdbn.images.base import Images
from convdbn.images.folder import FolderImages
from convdbn.images.formats import to_pixels
from convdbn.images.splits import Split, stratified

Opener = TypeVar("Opener", bound="Callable[[Request], Images]")


class Request(NamedTuple):
    """Which part of a data set to open, the folder of its files, whether to download missing files, and whether color
    becomes gray."""

    split: Split
    data_root: Path | None
    download: bool
    gray: bool

    def root(self, name: str) -> Path:
        """The folder of the files; DataError if it is None."""
        if self.data_root is None:
            raise DataError(f"data_root=None: {name} needs the folder of its files; pass --data-root")
        return self.data_root


class DataSet(NamedTuple):
    """The function that opens a data set, and whether the data set has test pictures of its own."""

    open: Callable[[Request], Images]
    has_test: bool


DATA_SETS: dict[str, DataSet] = {}
"""The data sets by name."""


def register_dataset(name: str, *, has_test: bool = False) -> Callable[[Opener], Opener]:
    """Decorator: the function opens the data set of this name, for every command. With `has_test` the data set has
    test pictures of its own, which the request's `split` selects; otherwise commands hold out a part for tests.

    >>> @register_dataset("noise")
    ... def noise(request):
    ...     return ArrayImages(torch.rand(10, 1, 8, 8), name="noise")
    >>> len(open_images("noise"))
    10
    """

    def enter(open_: Opener) -> Opener:
        DATA_SETS[name] = DataSet(open_, has_test)
        return open_

    return enter


def open_images(
    data: str | Path,
    *,
    data_root: str | Path | None = None,
    split: Split = "train",
    download: bool = False,
    gray: bool = True,
) -> Images:
    """The pictures called `data`: the name of a data set, or else a folder (`./digits` is the folder of that name).

    `digits` and `photos` come with scikit-learn; `mnist`, `fashion-mnist` and `caltech101` are read from
    `data_root` in torchvision's layout, and downloaded into it only with `download`. `digits` and `caltech101`
    have no split of their own: a fifth of every class, always the same, is the test set. `photos` and folders
    are whole in either split. `gray` gives all pictures one channel; without it they have three.
    `register_dataset` adds names. DataError if the pictures are missing.
    """
    if split not in ("train", "test"):
        raise UsageError(f"split={split!r}: is not a part of a data set; choose train or test")
    if str(data) in DATA_SETS:
        root = None if data_root is None else Path(data_root).expanduser()
        return DATA_SETS[str(data)].open(Request(split, root, download, gray))
    if not Path(data).expanduser().is_dir():
        raise DataError(
            f"data={str(data)!r}: is neither a folder nor a known name; give a folder of pictures, or one of "
            f"{', '.join(DATA_SETS)}"
        )
    return FolderImages(data, gray=gray)


@register_dataset("digits", has_test=True)
def _digits(request: Request) -> Images:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return stratified(ArrayImages(digits.images[:, None] / 16, digits.target, "digits"), request.split)


@register_dataset("photos")
def _photos(request: Request) -> Images:
    from PIL import Image
    from sklearn.datasets import load_sample_images

    photos = [to_pixels(Image.fromarray(photo), request.gray) for photo in load_sample_images().images]
    return ArrayImages(torch.stack(photos), name="photos")


@register_dataset("mnist", has_test=True)
def _mnist(request: Request) -> Images:
    from torchvision.datasets import MNIST

    return _of_torchvision("mnist", MNIST, request)


@register_dataset("fashion-mnist", has_test=True)
def _fashion_mnist(request: Request) -> Images:
    from torchvision.datasets import FashionMNIST

    return _of_torchvision("fashion-mnist", FashionMNIST, request)


def _of_torchvision(name: str, kind: Any, request: Request) -> ArrayImages:
    root = request.root(name)
    try:
        stored = kind(root, train=request.split == "train", download=request.download)
    except Exception as error:  # missing, truncated and unreachable files raise errors of different classes
        raise _missing(name, root, Path(kind.__name__, "raw"), error) from error
    return ArrayImages(stored.data[:, None], stored.targets, name, stored.classes)


@register_dataset("caltech101", has_test=True)
def _caltech101(request: Request) -> Images:
    root, pictures = request.root("caltech101"), Path("caltech101", "101_ObjectCategories")
    if request.download:
        from torchvision.datasets import Caltech101

        try:
            Caltech101(root, download=True)
        except Exception as error:  # as above
            raise _missing("caltech101", root, pictures, error) from error
    if not (root / pictures).is_dir():
        raise _missing("caltech101", root, pictures, "no such folder")
    # The background is not a class; torchvision leaves it out as well.
    images = FolderImages(root / pictures, gray=request.gray, skip=["BACKGROUND_Google"])
    images.name = "caltech101"
    return stratified(images, request.split)


def _missing(name: str, root: Path, where: Path, why: object) -> DataError:
    return DataError(
        f"data={name!r}: cannot be read from '{root / where}' ({why}); "
        f"pass --data-root with the folder that holds '{where}', or --download"
    )
