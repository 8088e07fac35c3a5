"""The parts of pictures that excite a unit most."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from convdbn.images import Images
from convdbn.models.extract import pieces
from convdbn.models.fitting import trimmed
from convdbn.models.passes import upward, visible
from convdbn.models.stack import Stack
from convdbn.recipes.geometry import Geometry, receptive_field
from convdbn.visual.projections import Units, unit_indices


class Best(NamedTuple):
    """For each unit, the strongest first: the `patches` `(U, n, c, h, w)`, pixels in [0, 1], the unit's `inputs`
    `(U, n)`, the indices of the `pictures` `(U, n)`, and `corners` `(U, n, 2)`, the pixel of the whole picture at the
    top left of the patch."""

    patches: Tensor
    inputs: Tensor
    pictures: Tensor
    corners: Tensor


@torch.no_grad()
def best_patches(stack: Stack, layer: int, units: Units = None, *, images: Images, count: int = 9) -> Best:
    """The patches of the `count` pictures with the largest input of each unit, one patch of each picture.

    A patch is the exact receptive field of the unit. It is cut from the picture after any resizing and padding of the
    transform, but before whitening and normalization. Memory does not grow with the number of pictures. Fully
    connected layers see whole pictures. Inputs are those from below alone.
    """
    index, below = unit_indices(stack, layer, units), stack.geometry[:layer]
    best = torch.empty(len(index), 0, 4, dtype=torch.float64)
    for first, batch in pieces(images):
        field = upward(stack, visible(stack, batch, layer), layer)[-1]
        best = strongest(best, stack.layers[layer - 1].unit.biased(field)[:, index], first, count)
    return cut(stack, layer, images, best, below)


def strongest(best: Tensor, inputs: Tensor, first: int, count: int) -> Tensor:
    """The `count` places where each unit's input is largest, one in a picture: `(U, n, 4)` with input, number of the
    picture, row and column, exact in float64.

    The candidates are `best`, the result so far, and the `inputs` `(B, U)` or `(B, U, h, w)` in the pictures from
    number `first` on.
    """
    columns = inputs.shape[3] if inputs.ndim == 4 else 1
    highest, position = (inputs.flatten(2) if inputs.ndim == 4 else inputs[..., None]).max(2)
    numbers = torch.arange(first, first + len(inputs)).to(position)[:, None].expand_as(position)
    places = torch.stack([x.double() for x in (highest, numbers, position // columns, position % columns)], 2)
    best = torch.cat([best, places.transpose(0, 1).cpu()], 1)
    order = best[..., 0].argsort(dim=1, descending=True, stable=True)[:, :count]
    return best.gather(1, order[..., None].expand(-1, -1, 4))


def cut(stack: Stack, layer: int, images: Images, best: Tensor, trim: Sequence[Geometry]) -> Best:
    """The patches at the places that `strongest` returned, in pictures trimmed for the layers `trim`.

    Opens each picture only once.
    """
    below, pictures = stack.geometry[:layer], best[..., 1].long()
    strides = [0, 0] if below[-1].dense else [receptive_field(below, axis)[1] for axis in (0, 1)]
    corners = (best[..., 2:] * torch.tensor(strides)).long()
    patches: Tensor | None = None
    for number in tqdm(pictures.unique().tolist(), desc=f"patches of layer {layer}", unit="picture", disable=None):
        whole = stack.transform.shaping(images[[number]][0][None])
        picture = trimmed(whole, trim)[0].cpu()
        border = torch.tensor([(whole.shape[axis] - picture.shape[axis - 1]) // 2 for axis in (2, 3)])
        size = picture.shape[1:] if strides[0] == 0 else [receptive_field(below, axis)[0] for axis in (0, 1)]
        if patches is None:
            patches = picture.new_empty(*pictures.shape, len(picture), *size)
        for unit, rank in (pictures == number).nonzero().tolist():
            top, left = corners[unit, rank].tolist()
            patches[unit, rank] = picture[:, top : top + size[0], left : left + size[1]]
            corners[unit, rank] += border
    assert patches is not None
    return Best(patches, best[..., 0].float(), pictures, corners)
