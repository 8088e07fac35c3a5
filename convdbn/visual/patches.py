"""The parts of pictures that excite a unit most."""

from typing import NamedTuple

import torch
from torch import Tensor

from convdbn.images import Images
from convdbn.models.geometry import receptive_field, trimmed
from convdbn.models.passes import upward
from convdbn.models.stack import Stack
from convdbn.readout.extract import pieces
from convdbn.visual.project import Units, chosen


class Best(NamedTuple):
    """For each unit, the strongest first: the `patches` `(U, n, c, h, w)`, pixels in [0, 1], the `inputs` `(U, n)`,
    and where they come from: the picture's index, and `corners` `(U, n, 2)`, the patch's pixel at its top left."""

    patches: Tensor
    inputs: Tensor
    pictures: Tensor
    corners: Tensor


@torch.no_grad()
def best_patches(stack: Stack, layer: int, units: Units = None, *, images: Images, count: int = 9) -> Best:
    """What each unit sees where its input is largest, in the `count` pictures where that is most.

    One patch of a picture, cut at the exact receptive field of the unit from the picture as it is, resized or padded
    where the transform does that, but neither whitened nor normalised. Memory does not grow with the number of
    pictures. Fully connected layers see whole pictures. Inputs are those from below alone.
    """
    index = chosen(stack, layer, units)
    # Of each patch its input, picture, row and column; exact in float64.
    best = torch.empty(len(index), 0, 4, dtype=torch.float64)
    for first, batch in pieces(images):
        field = upward(stack, trimmed(stack.prepare(batch), stack.geometry[:layer]), layer)[-1]
        columns = field.shape[3] if field.ndim == 4 else 1
        inputs, position = (field.flatten(2) if field.ndim == 4 else field[..., None]).max(2)
        inputs, position = (inputs + stack.layers[layer - 1][1].bias)[:, index], position[:, index]
        numbers = torch.arange(first, first + len(batch)).to(position)[:, None].expand_as(position)
        found = torch.stack([x.double() for x in (inputs, numbers, position // columns, position % columns)], 2)
        best = torch.cat([best, found.transpose(0, 1).cpu()], 1)
        order = best[..., 0].argsort(dim=1, descending=True, stable=True)[:, :count]
        best = best.gather(1, order[..., None].expand(-1, -1, 4))
    return _cut(stack, layer, images, best)


def _cut(stack: Stack, layer: int, images: Images, best: Tensor) -> Best:
    """Each picture is opened once, and all its patches are cut."""
    below, pictures = stack.geometry[:layer], best[..., 1].long()
    strides = [0, 0] if below[-1].kernel == (0, 0) else [receptive_field(below, axis)[1] for axis in (0, 1)]
    corners = (best[..., 2:] * torch.tensor(strides)).long()
    patches: Tensor | None = None
    for number in pictures.unique().tolist():
        picture = trimmed(stack.transform.shaping(images[[number]][0][None]), below)[0].cpu()
        size = picture.shape[1:] if strides[0] == 0 else [receptive_field(below, axis)[0] for axis in (0, 1)]
        if patches is None:
            patches = picture.new_empty(*pictures.shape, len(picture), *size)
        for unit, rank in (pictures == number).nonzero().tolist():
            top, left = corners[unit, rank].tolist()
            patches[unit, rank] = picture[:, top : top + size[0], left : left + size[1]]
    assert patches is not None
    return Best(patches, best[..., 0].float(), pictures, corners)
