"""Transforms that remove what all natural pictures have in common: their spectrum, contrast or correlations."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from convdbn.errors import DataError
from convdbn.images.base import check_images
from convdbn.images.formats import shown
from convdbn.images.transforms.base import Transform, require

NO_PICTURES = "batches: no pictures to fit on; pass a list, because an iterator is empty after one pass"


class Whiten(Transform):
    """Flatten the spectrum of natural pictures, whose amplitude falls as 1/f, up to a soft cutoff.

    Each channel loses its mean, and its frequencies f, in cycles per pixel, are multiplied by
    f exp(-(f / cutoff)^order). Each picture is then scaled to variance 1 (a constant one becomes 0). Any size.
    Source: Olshausen and Field 1997 (Vision Research 37), where the cutoff is .4 and the order 4.
    """

    kind = "whiten"

    def __init__(self, cutoff: float = 0.4, order: float = 4) -> None:
        super().__init__()
        require(cutoff > 0, "cutoff", cutoff, "positive, in cycles per pixel (.5 is the highest frequency)")
        require(order > 0, "order", order, "positive")
        self.cutoff, self.order = cutoff, order

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[-2:]
        centered = x - x.mean((-2, -1), keepdim=True)
        # The mirrored picture has no jump where the Fourier transform joins its edges.
        mirrored = F.pad(centered, (0, max(w - 2, 0), 0, max(h - 2, 0)), mode="reflect")
        shape = mirrored.shape[-2:]
        down = torch.fft.fftfreq(shape[0], dtype=x.dtype, device=x.device)
        right = torch.fft.rfftfreq(shape[1], dtype=x.dtype, device=x.device)
        f = torch.hypot(down[:, None], right)
        gain = f * torch.exp(-((f / self.cutoff) ** self.order))
        whitened = torch.fft.irfft2(torch.fft.rfft2(mirrored) * gain, s=shape)[..., :h, :w]
        scale = whitened.std((1, 2, 3), correction=0, keepdim=True)
        # Below this a picture is constant except for rounding errors, which must not be amplified.
        floor = 10 * torch.finfo(x.dtype).eps * x.abs().amax((1, 2, 3), keepdim=True)
        constant = scale <= floor
        if constant.any():  # a ramp in its place keeps the gradient finite
            whitened = torch.where(constant, torch.arange(w, dtype=x.dtype, device=x.device), whitened)
            scale = whitened.std((1, 2, 3), correction=0, keepdim=True)
        return torch.where(constant, 0, whitened / scale)


class LocalContrast(Transform):
    """Subtract the mean of a `size` x `size` window and divide by its standard deviation + `epsilon`.

    The window spans all channels, and only the pixels inside the picture. `epsilon` is in pixel units.
    Source: Jarrett, Kavukcuoglu, Ranzato, LeCun 2009 (ICCV), but with a flat window, and a sum for their maximum.
    """

    kind = "local_contrast"

    def __init__(self, size: int = 9, epsilon: float = 0.1) -> None:
        super().__init__()
        require(size >= 1 and size % 2 == 1, "size", size, "odd, so that the window has a center")
        require(epsilon > 0, "epsilon", epsilon, "positive")
        self.size, self.epsilon = size, epsilon

    def forward(self, x: Tensor) -> Tensor:
        centered = x - self._local_mean(x)
        # The gradient of a root is infinite at 0; the smallest positive number changes no result.
        variance = self._local_mean(centered.square()).clamp(min=torch.finfo(x.dtype).tiny)
        return centered / (variance.sqrt() + self.epsilon)

    def _local_mean(self, x: Tensor) -> Tensor:
        gray = x.mean(1, keepdim=True)
        return F.avg_pool2d(gray, self.size, stride=1, padding=self.size // 2, count_include_pad=False)


class ZCA(Transform):
    """Make the values of a picture uncorrelated and of variance 1, and otherwise as close to the picture as possible.

    Fitted on pictures of one size: y = (x - mean) E (D + epsilon)^(-1/2) E^T, with E D E^T their covariance.
    The buffers are empty until then, or until a state dict is loaded. Source: Bell and Sejnowski 1997 (Vision
    Research 37); Krizhevsky 2009, Learning multiple layers of features from tiny images, appendix A.
    """

    kind = "zca"
    mean: Tensor  # (n,)
    matrix: Tensor  # (n, n), symmetric

    def __init__(self, epsilon: float = 0.01) -> None:
        super().__init__()
        require(epsilon > 0, "epsilon", epsilon, "positive, in units of variance")
        self.epsilon = epsilon
        self.register_buffer("mean", torch.empty(0))
        self.register_buffer("matrix", torch.empty(0, 0))

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor]) -> None:
        """Mean and covariance of all pictures in `batches`, in float64; the buffers stay on their device."""
        count, total, products = 0, torch.zeros(()), torch.zeros(())
        for batch in batches:
            x = check_images(batch, "batches").flatten(1).double()
            count, total, products = count + len(x), total + x.sum(0), products + x.T @ x
        if count == 0:
            raise DataError("batches: hold no pictures; pass a list, because an iterator is empty after one pass")
        mean = total / count
        variances, axes = torch.linalg.eigh(products / count - mean.outer(mean))
        matrix = axes / (variances.clamp(min=0) + self.epsilon).sqrt() @ axes.T
        self.matrix = matrix.to(self.mean.device, batch.dtype)
        self.mean = mean.to(self.mean.device, batch.dtype)

    def forward(self, x: Tensor) -> Tensor:
        if len(self.mean) == 0:
            raise RuntimeError("zca: is not fitted; call fit(batches) with training pictures, or load a state dict")
        flat = x.flatten(1)
        if flat.shape[1] != len(self.mean):
            raise DataError(
                f"images={shown(x)}: have {flat.shape[1]} values each, but ZCA was fitted to {len(self.mean)}; "
                "resize them to the size of the fit"
            )
        return ((flat - self.mean) @ self.matrix).reshape(x.shape)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        for name in ("mean", "matrix"):
            if (stored := state_dict.get(prefix + name)) is not None:
                setattr(self, name, getattr(self, name).new_empty(stored.shape))
        super()._load_from_state_dict(state_dict, prefix, *args)


class PatchWhiten(Transform):
    """Make neighboring pixels uncorrelated, by the covariance of patches and as one convolution.

    The filters are the rows for the middle pixel of E (D + epsilon)^(-1/2) E^T, with E D E^T the covariance of
    `size` x `size` patches over all channels: the whitening that Coates, Lee and Ng (2011) give each patch, at its
    middle. Pictures of any size; pixels at the edge are repeated. `kernel` is empty until the transform is
    fitted, or until a state dict is loaded; it serves as the weight of an ordinary convolution.
    """

    kind = "patch_whiten"
    kernel: Tensor  # (channels, channels, size, size)

    def __init__(self, size: int = 9, epsilon: float = 0.1) -> None:
        super().__init__()
        require(size >= 1 and size % 2 == 1, "size", size, "odd, so that a patch has a middle")
        require(epsilon > 0, "epsilon", epsilon, "positive, in units of variance")
        self.size, self.epsilon = size, epsilon
        self.register_buffer("kernel", torch.empty(0, 0, size, size))

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor]) -> None:
        """Covariance, in float64, of patches that overlap by half, of all pictures in `batches`."""
        count, total, products = 0, torch.zeros(()), torch.zeros(())
        for batch in batches:
            pictures = check_images(batch, "batches")
            if min(pictures.shape[2:]) < self.size:
                height, width = pictures.shape[2:]
                raise DataError(
                    f"size={self.size}: pictures of {height}x{width} hold no such patch; take a smaller size or "
                    "larger pictures"
                )
            patches = F.unfold(pictures, self.size, stride=max(1, self.size // 2)).double()
            columns = patches.transpose(0, 1).flatten(1)
            count, total = count + columns.shape[1], total + columns.sum(1)
            products = products + columns @ columns.T
        if count == 0:
            raise DataError(NO_PICTURES)
        mean = total / count
        variances, axes = torch.linalg.eigh(products / count - mean.outer(mean))
        matrix = axes / (variances.clamp(min=0) + self.epsilon).sqrt() @ axes.T
        channels, area = len(mean) // self.size**2, self.size**2
        middle = matrix.view(channels, area, channels, self.size, self.size)[:, area // 2]
        self.kernel = middle.to(self.kernel.device, batch.dtype)

    def forward(self, x: Tensor) -> Tensor:
        if not len(self.kernel):
            raise RuntimeError(
                "PatchWhiten is not fitted: call fit(batches) with training pictures, or load a state dict"
            )
        if x.shape[1] != len(self.kernel):
            raise DataError(
                f"pictures have {x.shape[1]} channel(s), but PatchWhiten was fitted on {len(self.kernel)}; convert "
                "them to that number"
            )
        return F.conv2d(F.pad(x, [self.size // 2] * 4, mode="replicate"), self.kernel)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        if (stored := state_dict.get(prefix + "kernel")) is not None:
            self.kernel = self.kernel.new_empty(stored.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)
