"""`label_error`: classification by a model's own label units."""

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
def label_error(
    model: "Model",
    data: "Data",
    *,
    value_range: ValueRange = None,
    data_root: str | Path | None = None,
    download: bool = False,
    device: str = "auto",
) -> dict[str, Any]:
    """Test error of the model's own label units, for models whose recipe has `labels: true`.

    Data without test pictures of its own gives a fifth of every class for the test.
    """
    stack = model_from(model, device)
    from convdbn.evaluation import label_units

    source = Source(data, value_range=value_range, data_root=data_root, download=download)
    _, test = source.labeled(stack.channels)
    return {"error": label_units.label_error(stack, test)}
