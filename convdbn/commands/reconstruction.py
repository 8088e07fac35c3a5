"""`reconstruction`: the error of pictures decoded from the highest layer."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from convdbn.commands.inputs import Source, model_from
from convdbn.commands.options import (
    ValueRange,
    command,
)

if TYPE_CHECKING:
    from convdbn.commands.inputs import Data, Model


@command
def reconstruction(
    model: "Model",
    data: "Data",
    *,
    value_range: ValueRange = None,
    data_root: str | Path | None = None,
    download: bool = False,
    device: str = "auto",
) -> dict[str, Any]:
    """Squared error of test pictures decoded from the highest layer, for fully connected models.

    It is summed over the pixels, and comes with the error of as many principal components. Data without test
    pictures of its own gives a tenth of its pictures for the test.
    """
    stack = model_from(model, device)
    from convdbn.evaluation import reconstruction as evaluation

    source = Source(data, value_range=value_range, data_root=data_root, download=download)
    return evaluation.reconstruction(stack, *source.parted(stack.channels))
