"""What every set of pictures can do: tell its length and labels, and hand out the batch at some indices."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from convdbn.errors import DataError

Batch = Tensor | list[Tensor]
Indices = Sequence[int] | Tensor


class Images(Dataset[Batch], ABC):
    """Pictures with or without labels, indexed by the batch.

    `images[[0, 5, 2]]` is one `(3, c, h, w)` tensor where pictures are stored as an array, and a list of
    three `(c, h, w)` tensors where their sizes may differ; float32 in [0, 1] either way. With torch's loader,
    the sampler makes the batches: `DataLoader(images, sampler=BatchSampler(...), batch_size=None)`.
    """

    name: str
    labels: Tensor | None  # (N,) int64, an index into `classes`
    classes: list[str]  # empty without labels

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, indices: Indices) -> Batch: ...

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


class Subset(Images):
    """Some pictures of `images`, in the order of `indices`."""

    def __init__(self, images: Images, indices: Indices) -> None:
        self.images = images
        self.indices = images._chosen(indices)
        self.name = images.name
        self.labels = None if images.labels is None else images.labels[self.indices]
        self.classes = images.classes

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, indices: Indices) -> Batch:
        return self.images[self.indices[self._chosen(indices)]]

    def title(self, index: int) -> str:
        return self.images.title(int(self.indices[index]))


def check_images(batch: Tensor, name: str) -> Tensor:
    """`batch`, `(B, ...)`, as it is; DataError naming the first picture with a NaN or infinite pixel."""
    # One pass, which NaN comes through.
    if batch.numel() and not all(math.isfinite(extreme) for extreme in batch.aminmax()):
        finite = batch.isfinite()
        i = int((~finite).flatten(1).any(1).nonzero()[0])
        value = batch[i][~finite[i]][0].item()
        raise DataError(
            f"{name}: picture {i} of the batch holds {value}, which is no pixel; repair it or leave it out"
        )
    return batch
