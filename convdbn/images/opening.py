"""`as_images`: a set of pictures from a name, a path, or an object in memory."""

import copy
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from convdbn.errors import DataError, UsageError
from convdbn.images.arrays import ArrayImages, batch_first
from convdbn.images.base import Images
from convdbn.images.datasets import open_images
from convdbn.images.formats import ValueRange
from convdbn.images.labels import class_indices
from convdbn.images.splits import Split
from convdbn.images.torch_sets import TorchImages


def as_images(
    data: Any,
    labels: Tensor | NDArray[Any] | Iterable[Hashable] | None = None,
    *,
    classes: Sequence[Hashable] = (),
    name: str | None = None,
    value_range: ValueRange = None,
    split: Split = "train",
    data_root: str | Path | None = None,
    download: bool = False,
    color: bool = False,
    changing: bool | None = None,
) -> Images:
    """The set of pictures that `data` holds or names.

    `data` is one of these:

    - the name of a data set (see `open_images`), read from `data_root` and downloaded into it only with `download`;
      `split` selects the training or the test part;
    - the path of a folder of pictures, or of an `.npy` file, which stays on disk;
    - a numpy array or a tensor of pictures, `(N, h, w)`, `(N, h, w, c)` or `(N, c, h, w)` with 1 to 4 channels:
      bytes (uint8), 16 bits (uint16), bool, or floats in [0, 1]; it is not copied. An ambiguous shape is refused;
      `ArrayImages` takes `(N, c, h, w)` with any number of channels;
    - a map-style torch `Dataset`, or a `DataLoader` of one, whose workers are used (see `TorchImages`);
    - a list of pictures, whose sizes may differ: tensors, arrays or PIL images, each alone or as (picture, label);
    - an `Images`;
    - a tuple `(pictures, labels)` of one of these and its labels.

    `value_range` says what other numbers mean: the values (low, high) of black and white, or "raw" for data that is
    whitened or z-scored already and stays as it is. `labels`, one for each picture, are integers from 0 or any
    other names, whose order is that of `classes`; without `classes`, names are sorted. `name` is what messages
    and reports call the set. With `color`, names and folders are read as three channels, otherwise as one; arrays
    keep their channels, which `in_channels` changes. A Dataset or DataLoader is read anew whenever a picture is
    needed, so that random augmentation stays random; `changing=False` says that it has no augmentation, so that
    layer inputs may be cached.

    DataError for data that is none of these, UsageError for options that do not fit the data.
    """
    if isinstance(data, tuple):
        data, labels = _pair(data, labels)
    if isinstance(data, str | Path) and Path(data).suffix == ".npy":
        data, name = _memory_map(Path(data)), Path(data).stem if name is None else name
    if changing is not None and (isinstance(data, Images) or not isinstance(data, Dataset | DataLoader)):
        raise UsageError(f"changing={changing}: is for a torch Dataset or DataLoader; leave it out")
    if value_range is not None and isinstance(data, Images | str | Path):
        raise UsageError(f"value_range={value_range!r}: pictures in files and sets have their own; leave it out")
    if isinstance(data, str | Path):
        images = open_images(data, data_root=data_root, split=split, download=download, gray=not color)
    else:
        images = _from_memory(data, value_range, changing)
    return _with_labels_and_name(images, labels, classes, name)


def _from_memory(data: Any, value_range: ValueRange, changing: bool | None) -> Images:
    """The pictures in an object in memory."""
    if isinstance(data, Images):
        return data
    if isinstance(data, Dataset | DataLoader):
        name = type(data.dataset if isinstance(data, DataLoader) else data).__name__
        return TorchImages(data, value_range=value_range, changing=changing is not False, name=name)
    if not isinstance(data, Tensor) and hasattr(data, "__array__"):
        data = np.asarray(data)
    if isinstance(data, Tensor) or (isinstance(data, np.ndarray) and data.dtype != object):
        return ArrayImages(batch_first(data), value_range=value_range)
    if hasattr(data, "__len__") and hasattr(data, "__getitem__") and not isinstance(data, Mapping | bytes):
        return TorchImages(data, value_range=value_range, changing=False)
    raise DataError(
        f"data={type(data).__name__}: holds no pictures; give a known name, a path, an array, a tensor, a list of "
        "pictures, a torch Dataset or DataLoader, or an Images"
    )


def _pair(data: tuple[Any, ...], labels: Any) -> tuple[Any, Any]:
    if len(data) != 2:
        raise DataError(f"data=tuple of {len(data)}: is not (pictures, labels); give a list for several pictures")
    if labels is not None:
        raise UsageError("labels: are in data=(pictures, labels) already; leave one of them out")
    return data


def _memory_map(path: Path) -> NDArray[Any]:
    """The array in the file, which is read only as batches need it."""
    try:
        array: NDArray[Any] = np.load(path.expanduser(), mmap_mode="r")
        return array
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"data='{path}': cannot be read as an array ({error}); save it with numpy.save") from error


def _with_labels_and_name(images: Images, labels: Any, classes: Sequence[Hashable], name: str | None) -> Images:
    """A copy of the set with these labels, names of classes, or name; the set itself if there are none."""
    if labels is None and not classes and name is None:
        return images
    images = copy.copy(images)
    if labels is not None or classes:
        labels = images.labels if labels is None else labels
        images.labels, images.classes = class_indices(labels, classes, len(images))
    images.name = images.name if name is None else name
    return images
