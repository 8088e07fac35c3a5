"""What a unit means in the space of pictures: computing only, drawing is in `figures`."""

import torch
from torch import Tensor
from torch.nn import functional as F

from convdbn.models.geometry import output_side
from convdbn.models.stack import Stack


@torch.no_grad()
def linear_combination(stack: Stack, layer: int) -> Tensor:
    """Filters of a layer in the space of transformed pictures (Lee et al. 2009, section 4.2).

    `(n, c, h, w)` for layer 1, 2, ... of the stack. Each weight of an upper layer scales the picture of the unit
    below that it leads to, at the place it leads to: negative weights are cut, maps enlarged by the pooling ratio.
    """
    if not 1 <= layer <= len(stack.layers):
        raise ValueError(f"layer={layer}: the model has layers 1 to {len(stack.layers)}")
    pictures = _laid_out(stack, layer - 1, _weights(stack, layer - 1))
    for depth in range(layer - 2, -1, -1):
        pictures = _laid_out(stack, depth, _through(stack, depth, pictures.clamp(min=0)))
    return pictures


def _weights(stack: Stack, depth: int) -> Tensor:
    return stack.layers[depth][0].weight.detach().clone()


def _laid_out(stack: Stack, depth: int, maps: Tensor) -> Tensor:
    """Input maps of layer `depth` (from 0), vectors given their height and width back where they have one."""
    if maps.ndim == 4:
        return maps
    if depth == 0:
        return maps.view(-1, *stack.picture)
    channels, below = stack.layers[depth - 1][1].n, stack.geometry[:depth]
    if below[-1].kernel == (0, 0):
        return maps
    return maps.view(-1, channels, *(output_side(side, below, axis) for axis, side in enumerate(stack.picture[1:])))


def _through(stack: Stack, depth: int, maps: Tensor) -> Tensor:
    """Pooled maps of layer `depth` (from 0), painted with its filters."""
    weight, (kernel, block) = _weights(stack, depth), stack.geometry[depth]
    if kernel == (0, 0):
        return maps @ weight
    # One unit of each block is on, nobody knows which: each has its share.
    spread = F.interpolate(maps, scale_factor=block, mode="nearest") / block**2
    return F.conv_transpose2d(spread, weight)
