"""Labels of a machine: a layer of one-hot units beside the hidden layers, inferred class by class."""

import torch
from torch import Tensor

from convdbn.energy import BoltzmannMachine
from convdbn.sampling.bound import unnormalized


def label_logits(machine: BoltzmannMachine, visible: Tensor) -> Tensor:
    """log p(y | v) up to a constant, `(B, classes)`, of a machine whose last layer has the labels.

    One hidden layer is summed in closed form for every class (Larochelle and Bengio 2008, equation 2), in time that
    grows with the number of classes. This is differentiable, so its gradient is the exact discriminative one. With
    several hidden layers, each class has the lower bound of log p(y, v).
    """
    _, hidden, *_, labels = machine.units
    every = torch.eye(labels.n, device=visible.device, dtype=visible.dtype)
    if machine.deep:
        others = machine.clamped_visible(visible)[:-1]
        classes = (label.expand(len(visible), -1) for label in every)
        return torch.stack([unnormalized(machine, (*others, y)) for y in classes], 1)
    from_visible, from_labels = machine.field((visible, None, None), 1), machine.field((None, None, every), 1)
    fields = from_visible[:, None] + from_labels
    return hidden.log_norm(fields.flatten(0, 1)).view(len(visible), labels.n) + labels.bias
