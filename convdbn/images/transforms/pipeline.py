"""The transforms by name, and pipelines of them."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from convdbn.errors import DataError
from convdbn.images.arrays import batch_first
from convdbn.images.base import Images, Indices, TensorOrArray, check_images
from convdbn.images.formats import WHITE, shown
from convdbn.images.transforms.base import Transform
from convdbn.images.transforms.pixels import Binarize, Gray, Invert, Pad, Raw, Resize
from convdbn.images.transforms.whitening import ZCA, LocalContrast, PatchWhiten, Whiten

__all__ = ["TRANSFORMS", "Pipeline", "build_transform"]

TRANSFORMS: dict[str, type[Transform]] = {
    transform.kind: transform
    for transform in (Gray, Resize, Pad, Whiten, LocalContrast, PatchWhiten, ZCA, Binarize, Invert, Raw)
}


class Pipeline(nn.Sequential):
    """Transforms in sequence; without any, the identity."""

    def prepare(self, images: TensorOrArray, *, like: Tensor) -> Tensor:
        """Check and transform a batch of bytes or of floats in [0, 1]; the result has the device and dtype of `like`.

        A tensor is `(B, channels, height, width)`; an array may have any layout that `as_images` takes. With `Raw`
        among the steps, floats may have any finite values. Differentiable, except for steps such as `Binarize` that
        have no derivative. DataError for other pictures.
        """
        if isinstance(images, np.ndarray):
            images = batch_first(images)
        if not isinstance(images, Tensor):
            raise DataError(f"images={type(images).__name__}: is no batch of pictures; give a tensor or an array")
        if images.ndim != 4 or not len(images):
            raise DataError(
                f"images={shown(images)}: is not (B, channels, height, width) with at least one picture; "
                "images[None] makes a batch of one"
            )
        if not (images.is_floating_point() or images.dtype in WHITE):
            raise DataError(
                f"images={shown(images)}: numbers of this type have no fixed white; give bytes (uint8), or floats in "
                "[0, 1]"
            )
        x = (images.float() / WHITE[images.dtype] if images.dtype in WHITE else images).to(like)
        bounded = not any(isinstance(step, Raw) for step in self)
        transformed: Tensor = self(check_images(x, "images", bounded=bounded))
        return transformed

    @torch.no_grad()
    def batch(self, images: Images, indices: Indices) -> Tensor:
        """Pictures as one batch; if their sizes differ, the resizing in the pipeline makes them equal.

        DataError if it does not.
        """
        batch = images[indices]
        if isinstance(batch, Tensor):
            return batch
        # Not all of `shaping`: the pipeline will transform the batch again, and would pad it twice.
        shaping = Pipeline(*[step for step in self if isinstance(step, Gray | Resize)])
        one_size = len({picture.shape for picture in batch}) == 1
        pictures = batch if one_size else [shaping(picture[None])[0] for picture in batch]
        if len({picture.shape for picture in pictures}) > 1:
            raise DataError(
                f"images={images.name!r}: have several sizes; take pictures of one size, or put "
                "{kind: resize, size: 64} first in the transform of the recipe"
            )
        return torch.stack(list(pictures))

    @property
    def shaping(self) -> "Pipeline":
        """The steps that determine the shape of a picture, without those that change its values."""
        return Pipeline(*[step for step in self if isinstance(step, Gray | Resize | Pad)])

    def spec(self) -> list[dict[str, Any]]:
        """The description from which `build_transform` builds the same pipeline."""
        return [cast(Transform, transform).spec() for transform in self]

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor]) -> None:
        """Fit each transform on the output of those before it; every one that learns goes through `batches` once."""
        for i, transform in enumerate(self):
            before = self[:i]
            cast(Transform, transform).fit(before(batch) for batch in batches)


def build_transform(specs: Iterable[Mapping[str, Any]]) -> Pipeline:
    """The pipeline of `[{"kind": ..., argument: value, ...}, ...]`; ValueError for unknown kinds or arguments."""
    return Pipeline(*map(_build, specs))


def _build(spec: Mapping[str, Any]) -> Transform:
    arguments = dict(spec)
    kind = arguments.pop("kind", None)
    kind = "gray" if kind == "grey" else kind  # the spelling of version 0.1.0
    if kind not in TRANSFORMS:
        raise ValueError(f"kind={kind!r}: is not a transform; choose from {', '.join(TRANSFORMS)}")
    try:
        return TRANSFORMS[kind](**arguments)
    except TypeError as error:
        allowed = inspect.signature(TRANSFORMS[kind])
        raise ValueError(f"{kind}={arguments}: {error}; the arguments are {allowed}") from error
