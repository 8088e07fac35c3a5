"""Pictures of one size in an array."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from convdbn.errors import DataError
from convdbn.images.base import Images, Indices
from convdbn.images.formats import (
    MOST_CHANNELS,
    ValueRange,
    as_pixels,
    channels_first,
    check_values,
    checked_range,
    shown,
    to_floats,
)
from convdbn.images.labels import class_indices


class ArrayImages(Images):
    """Pictures of one size. Bytes stay bytes, and a file stays on disk, until a batch is read.

    `data` is `(N, c, h, w)`: bytes (uint8), 16 bits (uint16), bool, or floats in [0, 1]. Other numbers need
    `value_range`: the values (low, high) of black and white, or "raw" for data that is whitened or z-scored already
    and stays as it is. Labels are `(N,)`, integers from 0 or names of `classes`; see `class_indices`. DataError for
    any other array.
    """

    def __init__(
        self,
        data: Tensor | NDArray[Any],
        labels: Tensor | NDArray[Any] | Iterable[Hashable] | None = None,
        name: str = "pictures",
        classes: Sequence[Hashable] = (),
        *,
        value_range: ValueRange = None,
    ) -> None:
        pixels = as_pixels(data)
        if pixels.ndim != 4 or pixels.numel() == 0:
            raise DataError(
                f"data={shown(pixels)}: is not (N, c, h, w) with at least one picture; "
                "write data[:, None] for one-channel pictures (N, h, w)"
            )
        self.value_range = checked_range(value_range)
        check_values(pixels, self.value_range)
        self.pixels, self.name = pixels, name
        self.labels, self.classes = class_indices(labels, classes, len(pixels))
        self.channels, self.raw = pixels.shape[1], value_range == "raw"

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, indices: Indices) -> Tensor:
        batch = self.pixels.index_select(0, self._index_tensor(indices).to(self.pixels.device))
        return to_floats(batch, self.value_range)


def batch_first(data: Tensor | NDArray[Any]) -> Tensor:
    """A view `(N, c, h, w)` of `(N, h, w)`, `(N, h, w, c)` or `(N, c, h, w)`; DataError if the shape is ambiguous."""
    pixels = as_pixels(data)
    if pixels.numel() == 0:
        raise DataError(f"data={shown(pixels)}: holds no pictures; give at least one")
    if pixels.ndim == 3 and pixels.shape[2] > MOST_CHANNELS:
        return pixels[:, None]
    if pixels.ndim == 4:
        return channels_first(pixels)
    reason = {
        2: "is one picture or rows of pixels; write data[None], or data.reshape(-1, height, width)",
        3: "may be one color picture; write data[None] for one picture, or data[:, None] for N narrow pictures",
    }
    raise DataError(
        f"data={shown(pixels)}: "
        + reason.get(pixels.ndim, "is not (N, h, w), (N, h, w, c) or (N, c, h, w); give one of these shapes")
    )
