"""What a unit means in the space of pictures: computing only, drawing is in `figures`."""

import torch
from torch import Tensor
from torch.nn import functional as F

from convdbn.energy.links import Conv
from convdbn.models.stack import Stack, kernel_and_pool


@torch.no_grad()
def linear_combination(stack: Stack, layer: int) -> Tensor:
    """Filters of a layer in the space of transformed pictures (Lee et al. 2009, section 4.2).

    `(n, c, h, w)` for layer 1, 2, ... of the stack. Each weight of an upper layer scales the picture of the unit
    below that it leads to, at the place it leads to: negative weights are cut, maps enlarged by the pooling ratio.
    """
    if not 1 <= layer <= len(stack.machines):
        raise ValueError(f"layer={layer}: the model has layers 1 to {len(stack.machines)}")
    pictures = _weights(stack, layer - 1)
    for depth in range(layer - 2, -1, -1):
        pictures = _through(stack, depth, pictures.clamp(min=0))
    if pictures.ndim == 2:
        return pictures.view(len(pictures), *stack.picture)
    return pictures


def _weights(stack: Stack, depth: int) -> Tensor:
    return stack.machines[depth].links[0].weight.detach()


def _through(stack: Stack, depth: int, maps: Tensor) -> Tensor:
    """Pooled maps of machine `depth`, painted with its filters."""
    weight, (_, block) = _weights(stack, depth), kernel_and_pool(stack.machines[depth])
    if isinstance(stack.machines[depth].links[0], Conv):
        # One unit of each block is on: put it into the block's middle, as if the map were enlarged.
        spread = F.interpolate(maps, scale_factor=block, mode="nearest") / block**2
        return F.conv_transpose2d(spread, weight)
    return maps.flatten(1) @ weight
