"""`features`: maps of every picture of a data set."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from convdbn.commands.inputs import pictures_for
from convdbn.commands.load import load
from convdbn.commands.options import check_output

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def features(
    *,
    checkpoint: str | Path,
    data: str | Path,
    layer: int = 1,
    split: Literal["train", "test"] = "train",
    data_root: str | Path | None = None,
    download: bool = False,
    output: str | Path | None = None,
    trim: bool = False,
    device: str = "auto",
) -> "NDArray[np.float32]":
    """Features of every picture of a data set: pooled maps of one layer, `(N, channels, h, w)`.

    Args:
        checkpoint: run folder, model file, or the name of a model of the package.
        data: as for `train`.
        layer: 1 is the lowest.
        split: train or test, for data sets that have one.
        data_root: where the torchvision data sets lie.
        download: fetch a torchvision data set that is not there.
        output: .npz file to write `features`, and `labels` and `classes` where the data has them.
        trim: cut the border that the pooling blocks do not divide instead of refusing the size.
        device: auto, cpu, cuda, ...
    """
    if output is not None:
        check_output(output, ".npz")
    model = load(checkpoint, device=device)
    import numpy as np

    from convdbn.models.extract import extract

    images = pictures_for(model, data, data_root, download, split)
    maps = extract(model, images, layer, sizes="trim" if trim else "error")
    if output is not None:
        labels: dict[str, Any] = (
            {} if images.labels is None else {"labels": images.labels.numpy(), "classes": images.classes}
        )
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        with open(output, "wb") as file:  # to which numpy adds no suffix
            np.savez(file, features=maps, **labels)
    return maps
