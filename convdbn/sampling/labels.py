"""Labels of a machine: a layer of one-hot units beside the visible one, inferred exactly."""

import torch
from torch import Tensor

from convdbn.energy import BoltzmannMachine


def label_logits(machine: BoltzmannMachine, visible: Tensor) -> Tensor:
    """log p(y | v) up to a constant, `(B, classes)`, of a machine of visible, hidden and label units.

    The hidden layer is summed in closed form for every class (Larochelle and Bengio 2008, equation 2), in time that
    grows with their number; differentiable, which makes it the exact discriminative gradient.
    """
    _, hidden, labels = machine.units
    every = torch.eye(labels.n, device=visible.device, dtype=visible.dtype)
    seen, told = machine.field((visible, None, None), 1), machine.field((None, None, every), 1)
    fields = seen[:, None] + told
    return hidden.log_norm(fields.flatten(0, 1)).view(len(visible), labels.n) + labels.bias
