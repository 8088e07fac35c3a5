"""Which pictures are labeled, where only some are."""

import numpy as np
from numpy.typing import NDArray

from convdbn.errors import UsageError


def labeled(labels: NDArray[np.int64], count: int, *, seed: int) -> NDArray[np.int64]:
    """Indices of `count` pictures drawn without replacement, as many of each class as of any other, give or take 1.

    Where a class has fewer, all of it is taken, and the count is missed.
    """
    classes = np.unique(labels)
    if not len(classes) <= count <= len(labels):
        raise UsageError(f"labels={count}: must be between {len(classes)} (classes) and {len(labels)} (pictures)")
    random = np.random.default_rng(seed)
    if count == len(labels):
        return np.arange(count)
    shares = np.full(len(classes), count // len(classes))
    shares[random.permutation(len(classes))[: count % len(classes)]] += 1
    drawn = [
        random.permutation(np.flatnonzero(labels == name))[:share]
        for name, share in zip(classes, shares, strict=True)
    ]
    return np.concatenate(drawn)
