"""`evaluate`: what features are worth to a classifier."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from convdbn.commands.inputs import labeled_data, parted_data
from convdbn.commands.load import load
from convdbn.commands.options import as_tuple, refuse_ignored

if TYPE_CHECKING:
    pass


OF_FEATURES = {"labels", "layers", "grid", "window", "draws", "baselines", "noise", "occlusion"}
UNUSED = {
    "likelihood=True": OF_FEATURES | {"classifier", "reconstruction"},
    "reconstruction=True": OF_FEATURES | {"classifier", "seed"},
    "classifier='labels'": OF_FEATURES | {"seed"},
}
"""Options of `evaluate` that other ways of evaluating use, but not this one."""


def evaluate(
    *,
    checkpoint: str | Path,
    data: str | Path,
    labels: int | list[int] = 1000,
    layers: int | list[int] = 1,
    grid: int | list[int] = 5,
    window: int = 1,
    classifier: Literal["svm", "linear-svm", "logistic", "ridge", "labels"] = "svm",
    draws: int = 10,
    baselines: bool = False,
    noise: float = 0.0,
    occlusion: float = 0.0,
    likelihood: bool = False,
    reconstruction: bool = False,
    data_root: str | Path | None = None,
    download: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Test error of a classifier that sees the features of few labeled pictures.

    Hyper-parameters are chosen by cross-validation on the labeled pictures, and the whole test set is classified. Of
    a folder with a sub-folder for each class a fifth of every class is the test set.

    Args:
        checkpoint: run folder, model file, or the name of a model of the package.
        data: as for `train`, with labels.
        labels: number of labeled pictures, or a list of numbers.
        layers: layers whose features are taken together, 1 being the lowest.
        grid: each map is averaged over this many cells along each side; a list makes a pyramid.
        window: above 1, means over windows of so many positions a side are brought to one contrast first; 3 suits
            photographs.
        classifier: svm (RBF kernel, votes of pairs), ridge (RBF kernel, for many classes), linear-svm, logistic, or
            labels: the model's own label units, for models that were trained with them.
        draws: how often the labeled pictures are drawn anew.
        baselines: also raw pixels, principal components, random filters and k-means patches.
        noise: share of the pixels of the test pictures that noise replaces.
        occlusion: share of each test picture that a black square covers.
        likelihood: instead of all this, mean log-likelihood of the test pictures in nats, for fully connected models
            and single convolutional layers, with log Z by annealed importance sampling in both directions.
        reconstruction: instead of all this, squared error of a test picture, summed over its pixels, as it comes back
            from the highest layer, beside that from as many principal components; for fully connected models.
        data_root: where the torchvision data sets lie.
        download: fetch a torchvision data set that is not there.
        seed: seed of the draws and the baselines.
        device: auto, cpu, cuda, ...
    """
    what = "likelihood=True" if likelihood else "reconstruction=True" if reconstruction else f"{classifier=}"
    refuse_ignored(evaluate, locals(), UNUSED.get(what, ()), what)
    model = load(checkpoint, device=device)
    from convdbn.evaluation.protocols import compare
    from convdbn.images.corrupt import Corrupted
    from convdbn.models.pyramid import SpatialPyramid

    if likelihood:
        from convdbn.evaluation import likelihood as nats

        return nats.likelihood(model, *parted_data(model, data, data_root, download), seed=seed)
    if reconstruction:
        from convdbn.evaluation import reconstruction as reconstruct

        return reconstruct.reconstruction(model, *parted_data(model, data, data_root, download))
    train, test = labeled_data(model, data, data_root, download)
    if classifier == "labels":
        from convdbn.evaluation.label_units import label_error

        return {"error": label_error(model, test)}
    return compare(
        model,
        train,
        Corrupted(test, noise=noise, occlusion=occlusion, seed=seed) if noise or occlusion else test,
        SpatialPyramid(as_tuple(layers), as_tuple(grid), window=window),
        counts=as_tuple(labels),
        draws=draws,
        classifier=classifier,
        baselines=baselines,
        seed=seed,
    )
