"""The operations in plain PyTorch. They define what the kernels compute, and run wherever no kernel does.

A field `(B, n, ...)` is the input of a layer, and `bias` `(n,)` has a number for each unit or map. All functions
except the draws have gradients.
"""

import torch
from torch import Tensor

from convdbn.ops.blocks import assembled, members, pooled


def logistic_mean(field: Tensor, bias: Tensor) -> Tensor:
    """sigmoid(field + bias)."""
    return (field + per_unit(bias, field)).sigmoid_()


def logistic_draw(field: Tensor, bias: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The mean, and a draw of zeros and ones with these probabilities."""
    p = logistic_mean(field, bias)
    return p, uniform_like(p.shape, p, generator).lt_(p)


def block_softmax_mean(field: Tensor, bias: Tensor, block: int) -> Tensor:
    """exp(x) / (1 + sum of exp over the block), of x = field + bias.

    It reads each member once with a stride and then uses contiguous buffers, because most sampling time is here.
    """
    b = per_unit(bias, field)
    each = [member + b for member in members(field, block)]
    peak = each[0].detach().clamp(min=0)  # cancels, so no gradient goes through it
    for member in each[1:]:
        peak = torch.maximum(peak, member.detach())
    total = (-peak).exp_()
    for member in each:
        total = total + member.sub_(peak).exp_()
    scale = total.reciprocal_()
    return assembled(field, block, torch.mul, [(member, scale) for member in each])


def block_softmax_draw(field: Tensor, bias: Tensor, block: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The mean, and a draw in which at most one unit of a block is on."""
    mean = block_softmax_mean(field, bias, block)
    each = members(mean, block)
    uniform = uniform_like(each[0].shape, each[0], generator)
    # A member is on where the uniform falls between its two cumulative edges; "all off" is what remains.
    edge = torch.zeros_like(uniform)
    below = [edge]
    for member in each:
        edge = edge + member
        below.append(torch.lt(uniform, edge, out=torch.empty_like(uniform)))
    return mean, assembled(field, block, torch.sub, list(zip(below[1:], below[:-1], strict=True)))


def pooling_mean(field: Tensor, bias: Tensor, block: int) -> Tensor:
    """Sum of `block_softmax_mean` over each block, `(B, n, H / block, W / block)`."""
    # Rounding can make the sum larger than 1, which Bernoulli units of the next layer refuse.
    return pooled(block_softmax_mean(field, bias, block), block).clamp(max=1)


def fold(columns: Tensor, shape: tuple[int, int, int], kernel: tuple[int, int]) -> Tensor:
    """`torch.nn.functional.fold` with stride 1, which sums over filter columns first and then over rows."""
    channels, height, width = shape
    down, across = height - kernel[0] + 1, width - kernel[1] + 1
    columns = columns.view(-1, channels, *kernel, down, across)
    rows = columns.new_zeros(len(columns), channels, kernel[0], down, width)
    for j in range(kernel[1]):
        rows[..., j : j + across] += columns[:, :, :, j]
    pictures = columns.new_zeros(len(columns), *shape)
    for i in range(kernel[0]):
        pictures[:, :, i : i + down] += rows[:, :, i]
    return pictures


def per_unit(values: Tensor, like: Tensor) -> Tensor:
    """Values of units `(n,)`, in a shape that broadcasts over a state."""
    return values.view(-1, *[1] * (like.ndim - 2))


def uniform_like(shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    """Numbers in [0, 1) of this shape, on the device and in the precision of `like`."""
    return torch.rand(shape, generator=generator, device=like.device, dtype=like.dtype)
