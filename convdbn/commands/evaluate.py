"""`evaluate`: test errors of a classifier on the features."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from convdbn.commands.inputs import Source, model_from
from convdbn.commands.options import (
    ValueRange,
    as_tuple,
    check_counts,
    command,
)

if TYPE_CHECKING:
    from convdbn.commands.inputs import Data, Model


@command
def evaluate(
    model: "Model",
    data: "Data",
    *,
    labels: int | list[int] = 1000,
    layers: int | list[int] = 1,
    grid: int | list[int] = 5,
    window: int = 1,
    classifier: Literal["svm", "linear-svm", "logistic", "ridge"] = "svm",
    draws: int = 10,
    baselines: bool = False,
    noise: float = 0.0,
    occlusion: float = 0.0,
    value_range: ValueRange = None,
    data_root: str | Path | None = None,
    download: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Test error of a classifier that learns from the features of a few labeled pictures.

    Cross-validation on the labeled pictures selects the hyper-parameters; the error is that of the whole test set.
    Data without test pictures of its own gives a fifth of every class for the test.

    Args:
        labels: number of labeled pictures, or a list of numbers.
        layers: layers whose features are concatenated; 1 is the lowest.
        grid: each map is averaged over this many cells along each side; a list makes a pyramid.
        window: above 1, each mean is first divided by the contrast of a window of this many positions a side; 3 suits
            photographs.
        classifier: svm (RBF kernel, votes of pairs), ridge (RBF kernel, for many classes), linear-svm, or logistic.
        draws: number of random draws of the labeled pictures.
        baselines: also evaluate raw pixels, principal components, random filters and k-means patches.
        noise: share of the pixels of the test pictures that noise replaces.
        occlusion: share of each test picture that a black rectangle covers.
    """
    check_counts(draws=draws)
    stack = model_from(model, device)
    from convdbn.evaluation.protocols import compare
    from convdbn.images.corrupt import Corrupted
    from convdbn.models.pyramid import SpatialPyramid

    source = Source(data, value_range=value_range, data_root=data_root, download=download)
    train, test = source.labeled(stack.channels)
    return compare(
        stack,
        train,
        Corrupted(test, noise=noise, occlusion=occlusion, seed=seed) if noise or occlusion else test,
        SpatialPyramid(as_tuple("layers", layers), as_tuple("grid", grid), window=window),
        counts=as_tuple("labels", labels),
        draws=draws,
        classifier=classifier,
        baselines=baselines,
        seed=seed,
    )
