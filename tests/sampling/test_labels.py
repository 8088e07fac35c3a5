"""Label inference against enumeration."""

import pytest
import torch
from small import make

from convdbn.sampling import exact
from convdbn.sampling.labels import label_logits


@pytest.mark.parametrize("name", ["labeled_rbm"])
def test_labels_are_inferred_exactly_and_so_is_the_gradient(name):
    machine, shapes = make(name)
    joint, _ = exact.probabilities(machine, shapes)
    for one in joint[0].unique(dim=0):
        fits = (joint[0] == one).all(1)
        p = torch.stack([
            (-machine.energy(tuple(x[fits & (joint[2][:, k] == 1)] for x in joint))).logsumexp(0) for k in range(3)
        ])  # fmt: skip
        found = label_logits(machine, one[None])[0]
        torch.testing.assert_close(found.log_softmax(0), p.log_softmax(0))
        parameters = list(machine.parameters())
        wanted = torch.autograd.grad(p.log_softmax(0)[1], parameters, allow_unused=True, materialize_grads=True)
        given = torch.autograd.grad(found.log_softmax(0)[1], parameters, allow_unused=True, materialize_grads=True)
        for one_gradient, other in zip(given, wanted, strict=True):
            torch.testing.assert_close(one_gradient, other, atol=1e-8, rtol=1e-6)
