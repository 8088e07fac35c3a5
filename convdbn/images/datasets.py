"""Sets of pictures by name or folder, and random crops of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from convdbn.errors import DataError
from convdbn.images.base import Batch, Images, Indices, Subset, check_images
from convdbn.images.folder import FolderImages, to_pixels

__all__ = ["ArrayImages", "Images", "Mirrored", "Subset", "check_images", "open_images", "random_crops", "stratified"]

Split = Literal["train", "test"]


class ArrayImages(Images):
    """Pictures of one size, held in memory as they are: bytes stay bytes until a batch is asked for.

    `pixels` is `(N, c, h, w)`, uint8 in 0 to 255 or floats in [0, 1]; `labels` is `(N,)`, indices into
    `classes`, which default to the numbers themselves. DataError when they are anything else.
    """

    def __init__(
        self,
        pixels: Tensor | np.ndarray,
        labels: Tensor | np.ndarray | None = None,
        name: str = "pictures",
        classes: Sequence[str] = (),
    ) -> None:
        pixels = torch.as_tensor(pixels)
        if pixels.ndim != 4 or pixels.numel() == 0:
            raise DataError(
                f"pixels: shape {tuple(pixels.shape)} is not (N, c, h, w) of at least one picture; "
                "one-channel pictures (N, h, w) become so with pixels[:, None]"
            )
        if pixels.is_floating_point():
            pixels = _unit_interval(pixels.float())
        elif pixels.dtype != torch.uint8:
            raise DataError(
                f"pixels: {pixels.dtype} is neither uint8 in 0 to 255 nor floats in [0, 1]; convert to one"
            )
        self.pixels = pixels
        self.name = name
        self.labels, self.classes = _checked_labels(labels, classes, len(pixels))

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, indices: Indices) -> Tensor:
        batch = self.pixels.index_select(0, self._chosen(indices).to(self.pixels.device))
        return batch.float().div_(255) if batch.dtype == torch.uint8 else batch


class Mirrored(Images):
    """Twice the pictures: the second half is the first flipped left to right."""

    def __init__(self, images: Images) -> None:
        self.images = images
        self.name = images.name
        self.labels = None if images.labels is None else images.labels.repeat(2)
        self.classes = images.classes

    def __len__(self) -> int:
        return 2 * len(self.images)

    def __getitem__(self, indices: Indices) -> Batch:
        chosen = self._chosen(indices)
        flipped = chosen >= len(self.images)
        batch = self.images[chosen % len(self.images)]
        if isinstance(batch, Tensor):
            return torch.where(flipped.to(batch.device)[:, None, None, None], batch.flip(-1), batch)
        return [picture.flip(-1) if flip else picture for picture, flip in zip(batch, flipped, strict=True)]


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


def random_crops(batch: Batch, size: int | tuple[int, int], *, stride: int = 1, generator: torch.Generator) -> Tensor:
    """One crop of each picture, `(B, c, height, width)`, all positions, multiples of `stride`, equally likely.

    `batch` is what `Images` hands out; `size` is a side or (height, width), in pixels. DataError when a
    picture is smaller.
    """
    height, width = (size, size) if isinstance(size, int) else size
    draws = torch.rand(len(batch), 2, dtype=torch.float64, device=generator.device, generator=generator).tolist()
    crops = []
    for i, (picture, (down, right)) in enumerate(zip(batch, draws, strict=True)):
        h, w = picture.shape[-2:]
        if h < height or w < width:
            raise DataError(
                f"size: a crop of {height}x{width} does not fit picture {i} of the batch, which is {h}x{w}; "
                "crop less, leave the picture out, or enlarge it with Resize"
            )
        top, left = (
            stride * int(drawn * (room // stride + 1)) for drawn, room in ((down, h - height), (right, w - width))
        )
        crops.append(picture[:, top : top + height, left : left + width])
    return torch.stack(crops)


def _unit_interval(pixels: Tensor) -> Tensor:
    bad = ~((pixels >= 0) & (pixels <= 1))  # written so that NaN is bad too
    if bad.any():
        i = int(bad.flatten(1).any(1).nonzero()[0])
        raise DataError(
            f"pixels: picture {i} holds {pixels[i][bad[i]][0].item():.6g}, but floats must be in [0, 1]; "
            "rescale the pictures, pass bytes as uint8, or leave out those that are broken"
        )
    return pixels


def _checked_labels(
    labels: Tensor | np.ndarray | None, classes: Sequence[str], count: int
) -> tuple[Tensor | None, list[str]]:
    if labels is None:
        return None, []
    checked = torch.as_tensor(labels)
    if checked.shape != (count,) or checked.is_floating_point():
        raise DataError(
            f"labels: {tuple(checked.shape)} of {checked.dtype} for {count} pictures; give each one integer"
        )
    names = list(classes) or [str(i) for i in range(int(checked.max()) + 1)]
    wrong = checked[(checked < 0) | (checked >= len(names))]
    if len(wrong):
        raise DataError(f"labels: {wrong[0]} is not in 0 to {len(names) - 1}; number the classes from 0")
    return checked.long(), names


def stratified(images: Images, split: Split) -> Subset:
    """A fifth of every class, always the same, as the test pictures, or the rest; DataError without labels."""
    if images.labels is None:
        raise DataError(f"images={images.name!r}: no classes; put the pictures of each into a sub-folder of its own")
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(range(len(images)), test_size=0.2, stratify=images.labels, random_state=0)
    return images.select(sorted(train if split == "train" else test))


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
