"""Which pictures are for training, for tests and for monitoring, and which of them have labels."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convdbn.errors import DataError, UsageError
from convdbn.images.base import Images, Subset

Split = Literal["train", "test"]


def labels_of(images: Images) -> Tensor:
    """The labels of the pictures, `(N,)`; DataError if there are none."""
    if images.labels is None:
        raise DataError(
            f"data={images.name!r}: has no labels; pass (pictures, labels), or put the pictures of each class into a "
            "sub-folder of its own"
        )
    return images.labels


def stratified(images: Images, split: Split) -> Subset:
    """The test pictures, a fifth of every class and always the same, or the others; DataError without labels."""
    labels = labels_of(images)
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(range(len(images)), test_size=0.2, stratify=labels, random_state=0)
    return images.select(sorted(train if split == "train" else test))


def hold_out(images: Images, count: int, *, seed: int) -> tuple[Images, Images | None]:
    """Training pictures, and `count` held-out ones, at most a tenth of all; None for a count of 0."""
    count = min(count, len(images) // 10)
    if not count:
        return images, None
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return images.select(order[count:].sort().values), images.select(order[:count])


def labeled(labels: NDArray[np.int64], count: int, *, seed: int) -> NDArray[np.int64]:
    """Indices of `count` pictures, drawn without replacement; the numbers per class differ by at most 1.

    A class with fewer pictures gives all it has, and the result is then shorter than `count`.
    """
    classes = np.unique(labels)
    if not len(classes) <= count <= len(labels):
        raise UsageError(f"labels={count}: must be between {len(classes)} (classes) and {len(labels)} (pictures)")
    random = np.random.default_rng(seed)
    if count == len(labels):
        return np.arange(count)
    shares = np.full(len(classes), count // len(classes))
    shares[random.permutation(len(classes))[: count % len(classes)]] += 1
    members = [
        random.permutation(np.flatnonzero(labels == name))[:share]
        for name, share in zip(classes, shares, strict=True)
    ]
    return np.concatenate(members)
