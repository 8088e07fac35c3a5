"""`likelihood`: the log-likelihood of test pictures under a model."""

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
def likelihood(
    model: "Model",
    data: "Data",
    *,
    value_range: ValueRange = None,
    data_root: str | Path | None = None,
    download: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Mean log-likelihood of the test pictures in nats, for fully connected models and single convolutional layers.

    Annealed importance sampling estimates log Z in both directions; for small models log Z is summed exactly. Data
    without test pictures of its own gives a tenth of its pictures for the test.
    """
    stack = model_from(model, device)
    from convdbn.evaluation import likelihood as nats

    source = Source(data, value_range=value_range, data_root=data_root, download=download)
    return nats.likelihood(stack, *source.parted(stack.channels), seed=seed)
