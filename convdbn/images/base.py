"""The interface of every set of pictures: its length, its labels, and the batch at some indices."""

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from convdbn.errors import DataError

TensorOrArray = Tensor | NDArray[Any]
Batch = Tensor | list[Tensor]
Indices = Sequence[int] | Tensor
ROUNDING = 1e-5
"""Interpolation, as in random distortions, may leave [0, 1] by this much."""


class Images(Dataset[Batch], ABC):
    """Pictures with or without labels, indexed by the batch.

    `images[[0, 5, 2]]` is one `(3, c, h, w)` tensor if all pictures have one size, and a list of three
    `(c, h, w)` tensors if their sizes may differ; float32 either way, in [0, 1] unless the set was opened
    with `value_range="raw"`. With torch's loader, the sampler makes the batches:
    `DataLoader(images, sampler=BatchSampler(...), batch_size=None)`.

    `labels` is `(N,)` int64, indices into `classes`; without labels it is None and `classes` is empty.
    `channels` is None if nothing tells it before a batch is read. `changing` says that a picture differs
    each time it is read, as under random augmentation, so it must not be cached. `raw` says that the set was
    opened with `value_range="raw"`.
    """

    name: str
    labels: Tensor | None
    classes: list[str]
    channels: int | None = None
    changing: bool = False
    raw: bool = False

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, indices: Indices) -> Batch: ...

    def batches(self, indices: Iterable[Indices]) -> Iterator[Batch]:
        """The batch at each of `indices`, in this order; a set that has workers reads ahead."""
        return map(self.__getitem__, indices)

    def title(self, index: int) -> str:
        """The name of the picture at `index`: its file if it has one."""
        return f"picture {index}"

    def select(self, indices: Indices) -> "Subset":
        """The pictures at `indices`, in that order, with their labels; nothing is copied."""
        return Subset(self, indices)

    def _index_tensor(self, indices: Indices) -> Tensor:
        """`indices` as a `(B,)` int64 tensor; TypeError or IndexError if they do not index this set."""
        index = torch.as_tensor(indices)
        if index.ndim != 1 or index.dtype == torch.bool or (len(index) and index.is_floating_point()):
            raise TypeError(
                f"indices={indices!r}: is not a list of integers; "
                "write images[[3]] for one picture and mask.nonzero().flatten() for a mask"
            )
        for extreme in index.aminmax() if len(index) else ():
            if not 0 <= extreme < len(self):
                raise IndexError(
                    f"indices={extreme}: {self.name} has pictures 0 to {len(self) - 1}; choose from them"
                )
        return index.long()


class View(Images):
    """The pictures of another set in another order or with other pixels, as a subclass defines; copies nothing."""

    def __init__(self, images: Images) -> None:
        self.images = images
        self.name, self.channels = images.name, images.channels
        self.changing, self.raw = images.changing, images.raw

    # The labels of a set may cost a pass over it, so they are read only on demand.
    @cached_property
    def labels(self) -> Tensor | None:  # type: ignore[override]
        return self.images.labels

    @cached_property
    def classes(self) -> list[str]:  # type: ignore[override]
        return self.images.classes

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, indices: Indices) -> Batch:
        index = self._index_tensor(indices)
        return self._map_batch(self.images[self._source(index)], index)

    def batches(self, indices: Iterable[Indices]) -> Iterator[Batch]:
        pending: deque[Tensor] = deque()  # more than one if the other set reads ahead

        def sources() -> Iterator[Tensor]:
            for each in indices:
                pending.append(self._index_tensor(each))
                yield self._source(pending[-1])

        for batch in self.images.batches(sources()):
            yield self._map_batch(batch, pending.popleft())

    def title(self, index: int) -> str:
        return self.images.title(int(self._source(torch.tensor([index]))))

    def _source(self, indices: Tensor) -> Tensor:
        """The indices in the other set of the pictures at `indices`."""
        return indices

    def _map_batch(self, batch: Batch, indices: Tensor) -> Batch:
        """The pictures at `indices`, made from the other set's `batch`."""
        return batch


class Subset(View):
    """Some pictures of `images`, in the order of `indices`."""

    def __init__(self, images: Images, indices: Indices) -> None:
        super().__init__(images)
        self.indices = images._index_tensor(indices)

    @cached_property
    def labels(self) -> Tensor | None:  # type: ignore[override]
        return None if self.images.labels is None else self.images.labels[self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def _source(self, indices: Tensor) -> Tensor:
        return self.indices[indices]


def check_images(batch: Tensor, name: str, *, bounded: bool = False) -> Tensor:
    """Return `batch`, `(B, ...)`, unchanged; a DataError names the first picture with a NaN or infinite pixel, or, if
    pixels are `bounded`, with one outside [0, 1]."""
    low, high = (-ROUNDING, 1 + ROUNDING) if bounded else (-math.inf, math.inf)
    # One pass is enough: the extremes of a batch with a NaN are NaN.
    if batch.numel() and not all(math.isfinite(x) and low <= x <= high for x in batch.detach().aminmax()):
        good = batch.isfinite() & (batch >= low) & (batch <= high)
        i = int((~good).flatten(1).any(1).nonzero()[0])
        value = batch[i][~good[i]][0].item()
        problem = (
            "but the model takes floats in [0, 1]; divide them by the value of white, or give bytes as uint8; only a "
            'model that was trained with value_range="raw" takes other values'
            if math.isfinite(value)
            else "which is not a finite number; repair it or leave it out"
        )
        raise DataError(f"{name}: picture {i} of the batch holds {value:.6g}, {problem}")
    return batch
