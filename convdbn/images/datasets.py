"""Sets of pictures by name or folder."""

from pathlib import Path

import torch

from convdbn.errors import DataError
from convdbn.images.arrays import ArrayImages
from convdbn.images.base import Images
from convdbn.images.folder import FolderImages
from convdbn.images.formats import to_pixels
from convdbn.images.splits import Split, stratified


def open_images(
    data: str | Path,
    *,
    data_root: str | Path | None = None,
    split: Split = "train",
    download: bool = False,
    gray: bool = True,
) -> Images:
    """The pictures called `data`: a known name, or else a folder (`./digits` for one of a known name).

    `digits` and `photos` come with scikit-learn; `mnist`, `fashion-mnist` and `caltech101` are read from
    `data_root` in torchvision's layout, and fetched into it only with `download`. `digits` and `caltech101`
    have no split of their own: a fifth of every class, always the same, is the test set. `photos` and folders
    are whole in either split. `gray` makes color pictures one channel; without it they have three.
    DataError when there are no pictures to be had.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split: {split!r} is neither 'train' nor 'test'")
    match str(data):
        case "digits":
            return stratified(_digits(), split)
        case "photos":
            return _photos(gray)
        case "mnist" | "fashion-mnist" as name:
            return _mnist(name, _root(name, data_root), split, download)
        case "caltech101" as name:
            return stratified(_caltech101(_root(name, data_root), download, gray), split)
    if not Path(data).expanduser().is_dir():
        raise DataError(
            f"data: '{data}' is no folder and no known name; give a folder of pictures, or one of "
            "digits, photos, mnist, fashion-mnist, caltech101"
        )
    return FolderImages(data, gray=gray)


def _digits() -> ArrayImages:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return ArrayImages(digits.images[:, None] / 16, digits.target, "digits")


def _photos(gray: bool) -> ArrayImages:
    from PIL import Image
    from sklearn.datasets import load_sample_images

    photos = [to_pixels(Image.fromarray(photo), gray) for photo in load_sample_images().images]
    return ArrayImages(torch.stack(photos), name="photos")


def _root(name: str, data_root: str | Path | None) -> Path:
    if data_root is None:
        raise DataError(f"data_root: None, but {name} is read from a folder; pass --data-root")
    return Path(data_root).expanduser()


def _mnist(name: str, root: Path, split: Split, download: bool) -> ArrayImages:
    from torchvision import datasets

    kind = datasets.MNIST if name == "mnist" else datasets.FashionMNIST
    try:
        stored = kind(root, train=split == "train", download=download)
    except Exception as error:  # missing, truncated and unreachable files each raise another kind
        raise _missing(name, root, Path(kind.__name__, "raw"), error) from error
    return ArrayImages(stored.data[:, None], stored.targets, name, stored.classes)


def _caltech101(root: Path, download: bool, gray: bool) -> FolderImages:
    pictures = Path("caltech101", "101_ObjectCategories")
    if download:
        from torchvision.datasets import Caltech101

        try:
            Caltech101(root, download=True)
        except Exception as error:  # as above
            raise _missing("caltech101", root, pictures, error) from error
    if not (root / pictures).is_dir():
        raise _missing("caltech101", root, pictures, "no such folder")
    # The background is no class; torchvision leaves it out as well.
    images = FolderImages(root / pictures, gray=gray, skip=["BACKGROUND_Google"])
    images.name = "caltech101"
    return images


def _missing(name: str, root: Path, where: Path, why: object) -> DataError:
    return DataError(
        f"data: {name} could not be read from '{root / where}' ({why}); "
        f"pass --data-root with the folder that holds '{where}', or --download to fetch it there"
    )
