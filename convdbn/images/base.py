"""What every set of pictures can do: tell its length and labels, and hand out the batch at some indices."""

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor
from torch.utils.data import Dataset

from convdbn.errors import DataError

Batch = Tensor | list[Tensor]
Indices = Sequence[int] | Tensor


class Images(Dataset[Batch], ABC):
    """Pictures with or without labels, indexed by the batch.

    `images[[0, 5, 2]]` is one `(3, c, h, w)` tensor where all pictures have one size, and a list of three
    `(c, h, w)` tensors where their sizes may differ; float32 either way, in [0, 1] unless the set was opened
    with `value_range="raw"`. With torch's loader, the sampler makes the batches:
    `DataLoader(images, sampler=BatchSampler(...), batch_size=None)`.

    `labels` is `(N,)` int64, indices into `classes`; without labels it is None and `classes` is empty.
    `channels` is None where it is not known before a batch is read. `changing` says that a picture differs
    each time it is read, as under random augmentation, so that nobody may cache it.
    """

    name: str
    labels: Tensor | None
    classes: list[str]
    channels: int | None = None
    changing: bool = False

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, indices: Indices) -> Batch: ...

    def batches(self, indices: Iterable[Indices]) -> Iterator[Batch]:
        """The batch at each of `indices`, in their order; a set with workers of its own reads ahead."""
        return map(self.__getitem__, indices)

    def title(self, index: int) -> str:
        """What people call the picture at `index`: its file, where it has one."""
        return f"picture {index}"

    def select(self, indices: Indices) -> "Subset":
        """The pictures at `indices`, in that order, with their labels; nothing is copied."""
        return Subset(self, indices)

    def _chosen(self, indices: Indices) -> Tensor:
        """`indices` as a `(B,)` int64 tensor; TypeError or IndexError when they do not index this set."""
        chosen = torch.as_tensor(indices)
        if chosen.ndim != 1 or chosen.dtype == torch.bool or (len(chosen) and chosen.is_floating_point()):
            raise TypeError(
                f"indices: {indices!r} is not a list of integers; "
                "write images[[3]] for one picture and mask.nonzero().flatten() for a mask"
            )
        for extreme in chosen.aminmax() if len(chosen) else ():
            if not 0 <= extreme < len(self):
                raise IndexError(f"indices: {extreme} is not in 0 to {len(self) - 1}, the pictures of {self.name}")
        return chosen.long()


class View(Images):
    """The pictures of another set in another order or look; a subclass says which, and nothing is copied."""

    def __init__(self, images: Images) -> None:
        self.images = images
        self.name, self.channels, self.changing = images.name, images.channels, images.changing

    # The labels of a set may cost a pass over it, so nobody asks for them before they are needed.
    @cached_property
    def labels(self) -> Tensor | None:  # type: ignore[override]
        return self.images.labels

    @cached_property
    def classes(self) -> list[str]:  # type: ignore[override]
        return self.images.classes

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, indices: Indices) -> Batch:
        chosen = self._chosen(indices)
        return self._look(self.images[self._source(chosen)], chosen)

    def batches(self, indices: Iterable[Indices]) -> Iterator[Batch]:
        asked: deque[Tensor] = deque()  # more than one, where the set below reads ahead

        def sources() -> Iterator[Tensor]:
            for each in indices:
                asked.append(self._chosen(each))
                yield self._source(asked[-1])

        for batch in self.images.batches(sources()):
            yield self._look(batch, asked.popleft())

    def title(self, index: int) -> str:
        return self.images.title(int(self._source(torch.tensor([index]))))

    def _source(self, indices: Tensor) -> Tensor:
        """Where in the other set the pictures at `indices` lie."""
        return indices

    def _look(self, batch: Batch, indices: Tensor) -> Batch:
        """What becomes of the `batch` that the other set holds for `indices`."""
        return batch


class Subset(View):
    """Some pictures of `images`, in the order of `indices`."""

    def __init__(self, images: Images, indices: Indices) -> None:
        super().__init__(images)
        self.indices = images._chosen(indices)

    @cached_property
    def labels(self) -> Tensor | None:  # type: ignore[override]
        return None if self.images.labels is None else self.images.labels[self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def _source(self, indices: Tensor) -> Tensor:
        return self.indices[indices]


def check_images(batch: Tensor, name: str) -> Tensor:
    """`batch`, `(B, ...)`, as it is; DataError naming the first picture with a NaN or infinite pixel."""
    # One pass, which NaN comes through.
    if batch.numel() and not all(math.isfinite(extreme) for extreme in batch.detach().aminmax()):
        finite = batch.isfinite()
        i = int((~finite).flatten(1).any(1).nonzero()[0])
        value = batch[i][~finite[i]][0].item()
        raise DataError(
            f"{name}: picture {i} of the batch holds {value}, which is no pixel; repair it or leave it out"
        )
    return batch
