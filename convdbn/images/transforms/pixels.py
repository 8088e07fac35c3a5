"""Transforms that decide which pixels a picture has, or map each pixel by itself."""

from torch import Tensor
from torch.nn import functional as F

from convdbn.errors import DataError
from convdbn.images.transforms.base import Transform, require


class Gray(Transform):
    """Color to luma, .299, .587, .114 of red, green, blue (ITU-R BT.601); one channel stays as it is."""

    kind = "gray"

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] == 1:
            return x
        if x.shape[1] != 3:
            raise DataError(f"channels={x.shape[1]}: cannot become gray; give pictures of 1 or 3 channels")
        red, green, blue = x[:, :1], x[:, 1:2], x[:, 2:]
        # In this form equal channels, such as white, keep exactly their value.
        return green + 0.299 * (red - green) + 0.114 * (blue - green)


class Resize(Transform):
    """Bilinear resizing with antialiasing; no value leaves the range of its picture.

    A `size` in pixels is the new length of the shorter side, and the central square is cut out; [height, width]
    stretches the picture to exactly that size.
    """

    kind = "resize"

    def __init__(self, size: int | list[int]) -> None:
        super().__init__()
        sides = [size, size] if isinstance(size, int) else list(size)
        require(len(sides) == 2 and min(sides) >= 1, "size", size, "a side or [height, width], in pixels")
        self.size = size if isinstance(size, int) else sides

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.size, list):
            return self._resized(x, *self.size)
        h, w = x.shape[-2:]
        h, w = (round(side * self.size / min(h, w)) for side in (h, w))
        top, left = (h - self.size) // 2, (w - self.size) // 2
        return self._resized(x, h, w)[..., top : top + self.size, left : left + self.size]

    @staticmethod
    def _resized(x: Tensor, height: int, width: int) -> Tensor:
        resized = F.interpolate(x, (height, width), mode="bilinear", antialias=True)
        # Averages cannot leave the range, but their rounding can, and 1.0000002 is not a probability.
        return resized.clamp(x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True))


class Pad(Transform):
    """`size` more pixels at each edge: zeros ("constant") or the picture mirrored in its edge ("reflect")."""

    kind = "pad"

    def __init__(self, size: int, mode: str = "constant") -> None:
        super().__init__()
        require(size >= 0, "size", size, "a number of pixels, at least 0")
        require(mode in ("constant", "reflect"), "mode", mode, "'constant' or 'reflect'")
        self.size, self.mode = size, mode

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[-2:]
        if self.mode == "reflect" and self.size >= min(h, w):
            raise DataError(f"size={self.size}: a {h}x{w} picture mirrors at most {min(h, w) - 1} pixels; pad less")
        return F.pad(x, [self.size] * 4, mode=self.mode)


class Binarize(Transform):
    """1 where a pixel is above `threshold`, else 0."""

    kind = "binarize"

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, x: Tensor) -> Tensor:
        return (x > self.threshold).to(x.dtype)


class Invert(Transform):
    """The negative of the picture: 1 - x."""

    kind = "invert"

    def forward(self, x: Tensor) -> Tensor:
        return 1 - x


class Raw(Transform):
    """The picture as it is: says that the values are whitened or z-scored already, so they may leave [0, 1].

    Training puts it first in the transform if its pictures have `value_range="raw"`.
    """

    kind = "raw"

    def forward(self, x: Tensor) -> Tensor:
        return x
