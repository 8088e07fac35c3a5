"""Label units beside the pixels: learning from pictures with and without labels."""

import torch
from torch import Tensor
from torch.nn import functional as F

from convdbn.energy import BoltzmannMachine, Given
from convdbn.ops.grad import without_gradients
from convdbn.sampling.labels import label_logits

__all__ = ["classification_loss", "given", "with_inferred_labels"]


def given(machine: BoltzmannMachine, visible: Tensor) -> Given:
    """The state in which only the visible layer has values, and the label layer if there is one; `visible` has the
    labels behind the pixels."""
    if machine.label_layer is None:
        return machine.clamped_visible(visible)
    pixels, labels = visible.split([machine.units[0].n, machine.units[-1].n], 1)
    return *machine.clamped_visible(pixels)[:-1], labels


@without_gradients
def with_inferred_labels(
    machine: BoltzmannMachine, data: Given, *, generator: torch.Generator
) -> tuple[Given, Tensor]:
    """The state with a label for every picture, and a mask of the pictures that had one in the data, `(B,)`.

    A missing label is a row of zeros. It is drawn from p(label | pixels), so the positive phase is a draw of labels
    and hidden units given the pixels alone, as the gradient of log p(pixels) requires (Larochelle and Bengio 2008,
    section 5.3).
    """
    pixels, *_, labels = data
    assert pixels is not None and labels is not None
    labeled = labels.sum(1) > 0
    index = torch.multinomial(label_logits(machine, pixels).softmax(1), 1, generator=generator)
    samples = torch.zeros_like(labels).scatter_(1, index, 1)
    return (*data[:-1], torch.where(labeled[:, None], labels, samples)), labeled


def classification_loss(machine: BoltzmannMachine, data: Given, labeled: Tensor | None = None) -> Tensor:
    """Mean of -log p(label | pixels) over the `labeled` pictures (all by default), a scalar; differentiable."""
    pixels, *_, labels = data
    assert pixels is not None and labels is not None
    losses = F.cross_entropy(label_logits(machine, pixels), labels, reduction="none")
    return losses.mean() if labeled is None else losses[labeled].sum() / labeled.sum().clamp(min=1)
