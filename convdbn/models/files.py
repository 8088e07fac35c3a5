"""Models that come with the package, trained; `python scripts/pretrain.py` makes their files."""

import torch

from convdbn.errors import UsageError
from convdbn.models.stack import WEIGHTS, Stack, load

WEIGHT_STD = 0.01
"""Standard deviation of the weights of an untrained model."""


def names() -> list[str]:
    """The models there are."""
    return sorted(file.stem for file in WEIGHTS.glob("*.safetensors"))


@torch.no_grad()
def create_model(name: str, *, pretrained: bool = True, seed: int = 0) -> Stack:
    """The model called `name` with its transforms: trained, or with small random weights and no biases.

    >>> create_model("cdbn_mnist").features(torch.rand(1, 1, 28, 28))[0].shape
    torch.Size([1, 256, 13, 13])
    """
    if name not in names():
        raise UsageError(f"name={name!r}: choose from {', '.join(names())}")
    stack = load(name)
    if not pretrained:
        generator = torch.Generator().manual_seed(seed)
        for machine in stack.machines:
            for unit in machine.units:
                unit.bias.zero_()
            for link in machine.links:
                link.weight.normal_(0, WEIGHT_STD, generator=generator)
    return stack
