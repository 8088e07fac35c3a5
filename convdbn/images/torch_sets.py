"""Sets of pictures from torch's Dataset and DataLoader."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    default_collate,
)
from torch.utils.data import Subset as TorchSubset

from convdbn.errors import DataError, UsageError
from convdbn.images.arrays import batch_first
from convdbn.images.base import Batch, Images, Indices
from convdbn.images.formats import ValueRange, check_values, checked_range, picture_pixels, to_floats
from convdbn.images.labels import class_indices

log = logging.getLogger(__name__)

CHECKED = 16
"""Number of items whose labels are compared with those that the data set stores."""
CHUNK = 100
"""Items to read at once for their labels."""


class TorchImages(Images):
    """The items of a map-style data set: pictures (tensors, arrays, PIL images), alone or in a tuple before a label,
    or dictionaries with "image" and "label".

    Each item is read anew whenever it is needed, so that random augmentation stays random; `changing=False` says that
    there is no augmentation, so that results may be cached. Labels come from the `targets` or `labels` of the data
    set if its items agree with them, otherwise from one pass over all items. The second part of an item is a label
    only if it is an integer or a name.

    Of a DataLoader, its workers, worker_init_fn and pinned memory are used, and its collate function, which must give
    the batch of pictures or (pictures, labels). Its order and its batch size are not used; UsageError for a sampler
    that is neither sequential nor random. DataError for a data set without length, or if its first item is not a
    picture.
    """

    def __init__(
        self, data: Any, *, value_range: ValueRange = None, changing: bool = True, name: str = "pictures"
    ) -> None:
        self.loader = _checked(data) if isinstance(data, DataLoader) else None
        self.dataset = data if self.loader is None else self.loader.dataset
        if isinstance(self.dataset, IterableDataset) or not hasattr(self.dataset, "__len__"):
            raise DataError(
                f"data={type(self.dataset).__name__}: has no length and no order; give a map-style Dataset, or a "
                "list of its pictures"
            )
        if not len(self):
            raise DataError(f"data={type(self.dataset).__name__}: holds no pictures; give at least one")
        self.changing, self.name, self.raw = changing, name, value_range == "raw"
        own = None if self.loader is None or self.loader.collate_fn is default_collate else self.loader.collate_fn
        own = own if self.loader is None or self.loader.batch_size is not None else None
        self.collate = Collate(checked_range(value_range), own)
        try:
            first = self._read([0])[1]
        except DataError:
            raise
        except Exception as error:  # the data set may raise anything
            raise DataError(
                f"data={type(self.dataset).__name__}: item 0 cannot be read ({type(error).__name__}: {error}); "
                "data[0] must give a picture, or (picture, label)"
            ) from error
        self.labeled = bool(first) and isinstance(first[0], int | str)
        if first and not self.labeled:
            log.info("data %s: the second part of its items is not a class, so there are no labels", name)

    def __len__(self) -> int:
        return len(cast(Sequence[Any], self.dataset))

    def __getitem__(self, indices: Indices) -> Batch:
        return self._read(self._index_tensor(indices).tolist())[0]

    def batches(self, indices: Iterable[Indices]) -> Iterator[Batch]:
        return (pictures for pictures, _ in self._stream(indices))

    @cached_property
    def labels(self) -> Tensor | None:  # type: ignore[override]
        return self._labels_and_classes[0]

    @cached_property
    def classes(self) -> list[str]:  # type: ignore[override]
        return self._labels_and_classes[1]

    @cached_property
    def _labels_and_classes(self) -> tuple[Tensor | None, list[str]]:
        if not self.labeled:
            return None, []
        values = self._stored_labels()
        if values is None:
            log.info("data %s: one pass reads its labels", self.name)
            chunks = torch.arange(len(self)).split(CHUNK)
            values = [label for _, labels in self._stream(chunks) for label in labels]
        names = _class_names(self.dataset)
        numbers = [value for value in values if isinstance(value, int)]
        named = len(numbers) == len(values) and max(numbers) < len(names)
        return class_indices(values, names if named else (), len(self))

    def _stored_labels(self) -> list[Any] | None:
        """The labels that the data set stores; None if it stores none, or if some item has another label."""
        stored = _stored(self.dataset)
        if stored is None or len(stored) != len(self):
            return None
        places = {label: i for i, label in reversed(list(enumerate(stored))) if isinstance(label, int | str)}
        agree = all(self._read([i])[1] == [label] for label, i in list(places.items())[-CHECKED:])
        return stored if agree and places else None

    def _read(self, indices: list[int]) -> tuple[Batch, list[Any]]:
        items: Any = self.dataset
        return self.collate([items[i] for i in indices])

    def _stream(self, indices: Iterable[Indices]) -> Iterator[tuple[Batch, list[Any]]]:
        """Pictures and labels at each of `indices`, read by the workers of the loader if there is one."""
        batches = (self._index_tensor(each).tolist() for each in indices)
        if self.loader is None:
            return map(self._read, batches)
        return iter(
            DataLoader(
                self.dataset,
                batch_sampler=batches,  # any iterable will do
                collate_fn=self.collate,
                num_workers=self.loader.num_workers,
                worker_init_fn=self.loader.worker_init_fn,
                pin_memory=self.loader.pin_memory,
                timeout=self.loader.timeout,
                generator=self.loader.generator,
                prefetch_factor=self.loader.prefetch_factor,
                multiprocessing_context=self.loader.multiprocessing_context,
            )
        )


class Collate:
    """Turns a list of items into pictures and labels, in the worker that read them; `own` is the user's function."""

    def __init__(self, value_range: ValueRange, own: Callable[[list[Any]], Any] | None) -> None:
        self.value_range, self.own = value_range, own

    def __call__(self, items: list[Any]) -> tuple[Batch, list[Any]]:
        """One tensor if all pictures have one size, otherwise a list; no labels if the items have none."""
        if self.own is not None and items:
            pictures, labels = _parts(self.own(items))
            if not isinstance(pictures, Tensor | np.ndarray) or len(pictures) != len(items):
                raise DataError(
                    f"data=DataLoader: its collate_fn does not return one picture for each of {len(items)} items; "
                    "return the tensor, or (tensor, labels)"
                )
            return self._floats(batch_first(pictures)), [] if labels is None else [_plain(label) for label in labels]
        parts = [_parts(item) for item in items]
        pixels = [picture_pixels(picture) for picture, _ in parts]
        labels = [_plain(label) for _, label in parts if label is not None]
        if len({(picture.shape, picture.dtype) for picture in pixels}) == 1:
            return self._floats(torch.stack(pixels)), labels
        floats = [self._floats(picture[None])[0] for picture in pixels]
        one_size = len({picture.shape for picture in floats}) == 1
        return torch.stack(floats) if one_size else [picture.clone() for picture in floats], labels

    def _floats(self, pixels: Tensor) -> Tensor:
        check_values(pixels, self.value_range)
        return to_floats(pixels, self.value_range).contiguous()


def _parts(item: Any) -> tuple[Any, Any]:
    """Picture and label of an item; None for an item without a label."""
    if isinstance(item, Mapping):
        if "image" not in item:
            raise DataError(
                f"data=items with the keys {list(item)}: no key is 'image'; give items (picture, label), or items "
                "with the keys 'image' and 'label'"
            )
        return item["image"], item.get("label")
    if isinstance(item, tuple | list) and item:
        return item[0], item[1] if len(item) > 1 else None
    return item, None


def _plain(label: Any) -> Any:
    """A scalar of torch or numpy as a Python number; any other label as it is."""
    single = isinstance(label, Tensor | np.ndarray | np.generic) and label.ndim == 0
    return label.item() if single else label


def _checked(loader: DataLoader[Any]) -> DataLoader[Any]:
    """The loader; UsageError unless its sampler goes through all items once, in sequence or at random."""
    sampler, batches = loader.sampler, loader.batch_sampler
    plain = isinstance(loader.dataset, IterableDataset) or (  # refused later, as a data set
        type(batches) in (BatchSampler, type(None))
        and (type(sampler) is SequentialSampler or (type(sampler) is RandomSampler and not sampler.replacement))
        and len(sampler) == len(cast(Sequence[Any], loader.dataset))
    )
    if not plain:
        odd = batches if type(batches) not in (BatchSampler, type(None)) else sampler
        raise UsageError(
            f"data=DataLoader with {type(odd).__name__}: its order would be lost, because the recipe sets order and "
            "batch size; give the Dataset, or torch.utils.data.Subset(dataset, indices) for a part of it"
        )
    log.info("data DataLoader: its workers are used; order and batch size come from the recipe")
    return loader


def _stored(dataset: Any) -> list[Any] | None:
    """Labels that the data set stores beside its items; None if there are none."""
    if isinstance(dataset, TorchSubset):
        whole = _stored(dataset.dataset)
        return None if whole is None else [whole[i] for i in dataset.indices]
    if isinstance(dataset, ConcatDataset):
        parts = [_stored(part) for part in dataset.datasets]
        return None if None in parts else [label for part in parts for label in part or []]
    if isinstance(dataset, TensorDataset):
        return dataset.tensors[1].tolist() if len(dataset.tensors) > 1 else None
    for name in ("targets", "labels"):
        values = getattr(dataset, name, None)
        if isinstance(values, Tensor | np.ndarray):
            return cast(list[Any], values.tolist())
        if isinstance(values, list | tuple):
            return [_plain(value) for value in values]
    return None


def _class_names(dataset: Any) -> list[str]:
    """The names of the classes in the data set, or in the one that it is made of."""
    if isinstance(dataset, TorchSubset):
        return _class_names(dataset.dataset)
    if isinstance(dataset, ConcatDataset):
        parts = [_class_names(part) for part in dataset.datasets]
        return parts[0] if all(part == parts[0] for part in parts) else []
    names = getattr(dataset, "classes", None)
    return [str(name) for name in names] if isinstance(names, list | tuple) else []
