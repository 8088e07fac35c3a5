"""`features`: the feature maps of every picture of a data set."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from convdbn.commands.inputs import Source, model_from
from convdbn.commands.options import (
    Split,
    ValueRange,
    check_output,
    command,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from convdbn.commands.inputs import Data, Model


@command
def features(
    model: "Model",
    data: "Data",
    *,
    layer: int = 1,
    sizes: Literal["error", "trim", "pad"] = "error",
    output: str | Path | None = None,
    split: Split = "train",
    value_range: ValueRange = None,
    data_root: str | Path | None = None,
    download: bool = False,
    device: str = "auto",
) -> "NDArray[np.float32]":
    """Features of every picture of a data set: pooled maps of one layer, `(N, channels, h, w)`.

    Args:
        layer: 1 is the lowest.
        sizes: what to do with sizes that the pooling blocks do not divide: error refuses them, trim cuts off the
            border, pad adds one.
        output: .npz file for `features`, and for `labels` and `classes` if the data has them.
    """
    check_output(output, ".npz")
    stack = model_from(model, device)
    import numpy as np

    from convdbn.models.extract import extract

    images = Source(data, value_range=value_range, data_root=data_root, download=download).images(
        stack.channels, split
    )
    maps = extract(stack, images, layer, sizes=sizes)
    if output is not None:
        labels: dict[str, Any] = (
            {} if images.labels is None else {"labels": images.labels.numpy(), "classes": images.classes}
        )
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        with open(output, "wb") as file:  # an open file, because numpy would add a suffix to a name
            np.savez(file, features=maps, **labels)
    return maps
