"""Conversion of labels of any kind to class indices."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convdbn.errors import DataError, UsageError
from convdbn.images.formats import shown

MOST_CLASSES = 10_000
"""Integers above this, and above the number of pictures, are not class indices."""


def class_indices(
    labels: Tensor | NDArray[Any] | Iterable[Hashable] | None, classes: Sequence[Hashable], count: int
) -> tuple[Tensor | None, list[str]]:
    """The labels of `count` pictures as `(N,)` int64 indices into the names of the classes, and these names.

    Integers are indices already; without `classes` their names are the numbers from 0. Other labels, such as
    strings, are looked up in `classes`, which default to all labels in the data, sorted by name. DataError
    unless each picture has exactly one label, and every label is a class.
    """
    names = _names(classes)
    if labels is None:
        if names:
            raise UsageError(f"classes={names}: the pictures have no labels; give labels too")
        return None, []
    values = _values(labels, count)
    wrong = [value for value in values if isinstance(value, float | complex | list | dict) or value is None]
    if wrong:
        raise DataError(f"labels={wrong[0]!r}: is not a class; give each picture an integer or a name")
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return _numbered(values, names, count)
    places = {name: i for i, name in enumerate(classes)}
    try:
        places = places or {name: i for i, name in enumerate(sorted(set(values), key=str))}
        unknown = next((value for value in values if value not in places), None)
    except TypeError as error:
        raise DataError(f"labels: {error}; give each picture an integer or a name") from error
    if unknown is not None:
        raise DataError(f"labels={unknown!r}: is not in classes={names}; add it, or leave out the pictures")
    return torch.tensor([places[value] for value in values]), [str(name) for name in places]


def _names(classes: Sequence[Hashable]) -> list[str]:
    if isinstance(classes, str):
        raise UsageError(f"classes={classes!r}: is a single name; give a list of names")
    names = [str(name) for name in classes]
    if len(set(names)) < len(names):
        raise UsageError(f"classes={names}: has the same name twice; give each class a name of its own")
    return names


def _values(labels: Any, count: int) -> list[Any]:
    """The labels as Python objects, one for each picture."""
    if isinstance(labels, Tensor | np.ndarray) and labels.shape != (count,):
        raise DataError(f"labels={shown(labels)}: is not one for each of {count} pictures; give the shape ({count},)")
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        raise DataError(f"labels={labels!r}: is not one for each of {count} pictures; give a list or an array")
    if isinstance(labels, Tensor | np.ndarray):
        return cast(list[Any], labels.tolist())
    values = [value.item() if _is_number(value) else value for value in labels]
    if len(values) != count:
        raise DataError(f"labels=[{len(values)} labels]: is not one for each of {count} pictures; give {count}")
    return values


def _is_number(value: Any) -> bool:
    return isinstance(value, Tensor | np.ndarray | np.generic) and value.ndim == 0


def _numbered(values: list[int], names: list[str], count: int) -> tuple[Tensor, list[str]]:
    most = len(names) or max(count, MOST_CLASSES)
    wrong = next((value for value in values if not 0 <= value < most), None)
    if wrong is not None:
        raise DataError(
            f"labels={wrong}: is not in 0 to {most - 1}; number the classes from 0, or give the labels as strings"
        )
    return torch.tensor(values, dtype=torch.long), names or [str(i) for i in range(max(values) + 1)]
