"""Classification by a model's own label units."""

import torch
from torch import Tensor

from convdbn.errors import UsageError
from convdbn.images import Images
from convdbn.images.splits import labels_of
from convdbn.models.extract import streamed
from convdbn.models.stack import Stack
from convdbn.sampling.labels import label_logits


def label_error(stack: Stack, images: Images) -> float:
    """Percentage of pictures whose label is not the most probable label of the top machine given its input; with
    several hidden layers, the label with the highest lower bound."""
    top = stack.machines[-1]
    if top.units[-1].kind != "categorical":
        raise UsageError("model: has no label units; train its top layer with labels: true")
    labels = labels_of(images).numpy()

    @torch.no_grad()
    def logits(batch: Tensor) -> Tensor:
        x = stack.prepare(batch)
        for index in range(len(stack.machines) - 1):
            x = stack.infer(x, index)[-1]
        return label_logits(top, x.flatten(1))

    predicted = streamed(images, logits).argmax(1)
    return 100 * float((predicted != labels).mean())
