"""Label units beside the pixels: learning from pictures whose class is known, or not known."""

import torch
from torch import Tensor
from torch.nn import functional as F

from convdbn.energy import BoltzmannMachine, Given
from convdbn.ops.grad import without_gradients
from convdbn.sampling.labels import label_logits

__all__ = ["classification_loss", "given", "with_inferred_labels"]


def given(machine: BoltzmannMachine, visible: Tensor) -> Given:
    """The state of which the visible layer is known, and the labels, which stand behind its units where there are
    any."""
    if machine.label_layer is None:
        return machine.clamped_visible(visible)
    pixels, labels = visible.split([machine.units[0].n, machine.units[-1].n], 1)
    return *machine.clamped_visible(pixels)[:-1], labels


@without_gradients
def with_inferred_labels(
    machine: BoltzmannMachine, data: Given, *, generator: torch.Generator
) -> tuple[Given, Tensor]:
    """The state with a label for every picture, and which labels were known, `(B,)`.

    Labels that are not known are rows of zeros. They are drawn from p(label | pixels), so that the positive phase is
    a draw of labels and hidden units given the pixels alone, as the gradient of log p(pixels) wants it (Larochelle
    and Bengio 2008, section 5.3).
    """
    pixels, *_, labels = data
    assert pixels is not None and labels is not None
    known = labels.sum(1) > 0
    index = torch.multinomial(label_logits(machine, pixels).softmax(1), 1, generator=generator)
    drawn = torch.zeros_like(labels).scatter_(1, index, 1)
    return (*data[:-1], torch.where(known[:, None], labels, drawn)), known


def classification_loss(machine: BoltzmannMachine, data: Given, known: Tensor | None = None) -> Tensor:
    """Mean of -log p(label | pixels) over the pictures whose label is known, a scalar; differentiable."""
    pixels, *_, labels = data
    assert pixels is not None and labels is not None
    missed = F.cross_entropy(label_logits(machine, pixels), labels, reduction="none")
    return missed.mean() if known is None else missed[known].sum() / known.sum().clamp(min=1)
