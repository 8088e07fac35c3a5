"""Conversion between gray and color."""

import torch
from torch import Tensor

from convdbn.errors import DataError
from convdbn.images.base import Batch, Images, View
from convdbn.images.formats import luma


def in_channels(images: Images, channels: int) -> Images:
    """The pictures with `channels` channels: color becomes gray, gray becomes color, just as in a folder of pictures.

    DataError, at the latest when a batch is read, for other numbers of channels than 1 and 3.
    """
    if images.channels == channels:
        return images
    view = InChannels(images, channels)
    if images.channels is not None:
        view._check(images.channels)
    return view


class InChannels(View):
    """The pictures of `images` with `channels` channels: 1 for pictures of 3, or 3 for pictures of 1."""

    def __init__(self, images: Images, channels: int) -> None:
        super().__init__(images)
        self.channels: int = channels

    def _map_batch(self, batch: Batch, indices: Tensor) -> Batch:
        pictures = [self._converted(picture) for picture in batch]
        return torch.stack(pictures) if isinstance(batch, Tensor) and pictures else pictures

    def _converted(self, picture: Tensor) -> Tensor:
        self._check(len(picture))
        if len(picture) == self.channels:
            return picture
        return luma(picture) if self.channels == 1 else picture.expand(3, -1, -1)

    def _check(self, channels: int) -> None:
        if channels != self.channels and {channels, self.channels} != {1, 3}:
            raise DataError(
                f"images={self.name!r}: have {channels} channels, but the model takes {self.channels}; give pictures "
                f"of {self.channels}, such as data[:, :{self.channels}] to drop the others"
            )
