"""Formats of pictures in memory and in files: the order of the axes, the type of the numbers, and their range."""

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convdbn.errors import DataError, UsageError

if TYPE_CHECKING:
    from PIL import Image

ValueRange = tuple[float, float] | Literal["raw"] | None
"""The values of black and white; "raw" for values that stay as they are; None if the dtype determines the range."""

WHITE = {torch.uint8: 255.0, torch.uint16: 65535.0, torch.bool: 1.0}
"""The value of white by dtype; floats lie in [0, 1]."""
MOST_CHANNELS = 4
"""An axis of at most this length may be the channel axis."""
CHUNK = 2**22
"""Number of values to check at once, so that a check costs little memory."""


def shown(pixels: Tensor | NDArray[Any]) -> str:
    """An array as messages call it, such as `float32(10, 28, 28)`."""
    return f"{str(pixels.dtype).removeprefix('torch.')}{tuple(pixels.shape)}"


def checked_range(value_range: ValueRange) -> ValueRange:
    """`value_range` itself; UsageError unless it is None, "raw" or two finite numbers, the lower first."""
    if value_range is None or value_range == "raw":
        return value_range
    try:
        low, high = (float(value) for value in value_range)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(
            f"value_range={value_range!r}: is not (low, high), two numbers with low < high; give the values of black "
            'and white, or "raw" for data that is whitened or z-scored already'
        )
    return low, high


def as_pixels(data: Tensor | NDArray[Any]) -> Tensor:
    """`data` as a tensor of real numbers, which shares memory wherever torch can; DataError for any other data."""
    if isinstance(data, Tensor):
        if data.is_complex() or data.layout != torch.strided or data.is_quantized:
            raise DataError(f"data={shown(data)}: is not a dense tensor of real numbers; convert it to one")
        return data.detach()
    if data.dtype.kind not in "buif":
        raise DataError(f"data={shown(data)}: holds no real numbers; give bytes (uint8), or floats in [0, 1]")
    array = np.asarray(data)
    try:
        with warnings.catch_warnings():
            # Nothing writes into the pictures, so a file mapped read-only is fine.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            return torch.from_numpy(array)
    except (TypeError, ValueError):
        # Another order of bytes, steps backwards, long doubles: torch needs a copy.
        native = array.dtype.newbyteorder("=") if array.dtype.itemsize <= 8 else np.dtype(np.float64)
        return torch.from_numpy(np.array(array, native))


def channels_first(pixels: Tensor) -> Tensor:
    """A view `(..., c, h, w)` of pictures `(..., c, h, w)` or `(..., h, w, c)` of 1 to 4 channels.

    DataError if neither the first nor the last of the three axes can be the channel axis, or if both can.
    """
    first, last = (pixels.shape[axis] <= MOST_CHANNELS for axis in (-3, -1))
    if first and not last:
        return pixels
    if last and not first:
        return pixels.movedim(-1, -3)
    axis = "first axis" if pixels.ndim == 3 else "second axis"
    problem = f"the {axis} and the last may both be" if first else f"neither the {axis} nor the last is"
    raise DataError(
        f"data={shown(pixels)}: {problem} an axis of 1 to {MOST_CHANNELS} channels; give ArrayImages(pixels), whose "
        "pixels are (N, channels, height, width)"
    )


def check_values(pixels: Tensor, value_range: ValueRange) -> None:
    """DataError, which names the first bad picture of `(N, ...)`, for values outside the range."""
    if value_range in (None, "raw") and pixels.dtype in WHITE:
        return
    if value_range is None and not pixels.is_floating_point():
        raise DataError(
            f"data={shown(pixels)}: integers of this type have no fixed white; give bytes (uint8), 16 bits (uint16), "
            "or the values of black and white, as in value_range=(0, 255)"
        )
    largest = torch.finfo(torch.float32).max
    low, high = (-largest, largest) if value_range == "raw" else value_range or (0.0, 1.0)
    # The bounds are rounded to float32, just as the values are.
    limits = torch.tensor([low, high], dtype=torch.float32, device=pixels.device)
    for start in range(0, len(pixels), step := max(1, CHUNK // pixels[0].numel())):
        values = pixels[start : start + step].float()
        least, most = values.aminmax()
        if not (limits[0] <= least and most <= limits[1]):  # true for NaN too
            bad = ~((values >= limits[0]) & (values <= limits[1])).flatten(1)
            row = int(bad.any(1).nonzero()[0])
            value = values[row].flatten()[bad[row]][0].item()
            raise DataError(f"data={shown(pixels)}: picture {start + row} holds {value:.6g}, {_remedy(value_range)}")


def _remedy(value_range: ValueRange) -> str:
    if value_range == "raw":
        return "which is not a finite number; repair the picture or leave it out"
    if value_range is not None:
        return f"which is not in value_range={value_range}; give the values of black and white"
    return (
        "but floats must be in [0, 1]; pass bytes as uint8, or the values of black and white, as in "
        'value_range=(0, 255), or value_range="raw" for data that is whitened or z-scored already'
    )


def to_floats(pixels: Tensor, value_range: ValueRange = None) -> Tensor:
    """Pictures as float32, where black is 0 and white is 1; with "raw" the values stay as they are."""
    values = pixels.float()
    if value_range == "raw":
        return values
    if value_range is not None:
        low, high = value_range
        return ((values - low) / (high - low)).clamp_(0, 1)  # rounding can leave the range
    return values / WHITE[pixels.dtype] if pixels.dtype in WHITE else values


def picture_pixels(picture: Any) -> Tensor:
    """One picture (tensor, array or PIL image) as `(c, h, w)` in its own dtype; DataError for anything else."""
    if isinstance(picture, Tensor | np.ndarray):
        pixels = as_pixels(picture)
        if pixels.ndim not in (2, 3) or pixels.numel() == 0:
            raise DataError(
                f"data={shown(pixels)}: is not a picture; give (height, width), (height, width, channels) or "
                "(channels, height, width)"
            )
        return pixels[None] if pixels.ndim == 2 else channels_first(pixels)
    if hasattr(picture, "convert") and hasattr(picture, "mode"):  # a PIL image, without an import of Pillow
        return to_pixels(picture, gray=picture.mode.split(";")[0] in ("1", "L", "LA", "La", "I", "F"))
    raise DataError(
        f"data={type(picture).__name__}: is not a picture; give a tensor, a numpy array or a PIL image for each"
    )


def read_picture(path: Path, *, gray: bool) -> Tensor:
    """The picture at `path`, upright, `(1 or 3, h, w)` float32 in [0, 1]; DataError if it cannot be read."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            return to_floats(to_pixels(ImageOps.exif_transpose(file), gray))
    except Exception as error:  # the class that Pillow raises depends on the format and on where the file breaks
        raise DataError(f"path='{path}': cannot be read as a picture ({error}); repair or remove the file") from error


def to_pixels(picture: "Image.Image", gray: bool) -> Tensor:
    """`(1 or 3, h, w)`, uint8, or uint16 for a picture of 16 bits, which Pillow would clip at 255."""
    if picture.mode.startswith("I;16"):
        return as_pixels(np.array(picture)).expand(1 if gray else 3, -1, -1)
    if picture.mode in ("I", "F"):
        raise DataError(f"mode={picture.mode!r}: has no fixed white; save the picture with 8 or 16 bits a pixel")
    pixels = torch.from_numpy(np.array(picture.convert("L" if gray else "RGB")))
    return pixels[None] if gray else pixels.permute(2, 0, 1).contiguous()


def luma(picture: Tensor) -> Tensor:
    """`(3, h, w)` in [0, 1] to `(1, h, w)`: .299, .587, .114 of red, green, blue (ITU-R BT.601).

    A picture of bytes stays one of bytes: the arithmetic is that of Pillow, so a gray file and a converted color
    picture agree exactly.
    """
    red, green, blue = picture
    levels = (picture * 255).round()
    if torch.equal(levels / 255, picture):
        red, green, blue = levels.to(torch.int64)
        gray: Tensor = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16
        return gray[None].float() / 255
    return cast(Tensor, green + 0.299 * (red - green) + 0.114 * (blue - green))[None]
