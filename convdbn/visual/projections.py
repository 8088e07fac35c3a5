"""Projections of units into the space of pictures; `figures` draws them.

Every method takes a stack, a layer (1 is the lowest) and some of its units, all of them by default, and gives a
picture of each, `(U, c, h, w)`: of the unit's receptive field, or of a whole picture for fully connected layers. The
pictures are inputs of layer 1, after the transform: if it whitens, they are whitened, and if it removes the mean, 0
is gray.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from convdbn.energy import Conv, State, spread
from convdbn.errors import UsageError
from convdbn.models.generate import independent
from convdbn.models.passes import as_maps, downward, spread_over_blocks, upward, visible
from convdbn.models.stack import Stack
from convdbn.recipes.geometry import receptive_field, trimmed_size
from convdbn.sampling.gibbs import Clamp, gibbs, start

Units = int | Sequence[int] | None
"""One unit of a layer, or several, counted from 0; all of them if None."""

CHUNK = 1000
"""Number of chains to run at once."""
SHARE = 0.1
"""The bound on the norm of pixels in [0, 1] is that of a picture with this share of white pixels."""
NOISE = 0.01
"""Gradient ascent begins at random pixels from 0 to this."""
STEP = 0.2
"""First step of the gradient ascent, as a share of the norm; it falls linearly to 0."""


@torch.no_grad()
def linear_combination(stack: Stack, layer: int, units: Units = None) -> Tensor:
    """Filters, painted with the filters below them (Lee et al. 2009, section 4.2).

    Each weight of an upper layer scales the picture of its unit in the layer below, at the position of that unit.
    Negative weights count as 0, and maps are enlarged by the pooling ratio.
    """
    index = unit_indices(stack, layer, units)
    x = stack.layers[layer - 1].link.weight[index]
    for depth in range(layer - 1, 0, -1):
        x = _paint(stack, depth, spread_over_blocks(stack, depth, x.clamp(min=0)))
    return as_maps(stack, 0, x)


@torch.no_grad()
def top_down(stack: Stack, layer: int, units: Units = None) -> Tensor:
    """The mean picture with one unit on, less that with all units off: the other units of the layer are off, and the
    layers below take their means given the layer above."""
    index = unit_indices(stack, layer, units)
    on = index.new_zeros(len(index), stack.layers[layer - 1].unit.n).scatter(1, index[:, None], 1)
    state = on.to(next(stack.parameters()))
    state = state if stack.geometry[layer - 1].dense else state[..., None, None]
    return downward(stack, layer, state) - downward(stack, layer, torch.zeros_like(state[:1]))


@torch.no_grad()
def clamped_samples(
    stack: Stack, layer: int, units: Units = None, *, generator: torch.Generator, chains: int = 20, sweeps: int = 50
) -> Tensor:
    """E[picture | unit on] - E[picture | unit off], by Gibbs sampling with that unit alone clamped (Erhan, Courville
    and Bengio 2010, section 3.2).

    The layer's machine is sampled, and layers below it take their means; averages over the second half of the sweeps.
    """
    index = unit_indices(stack, layer, units)
    differences = []
    for part in index.split(max(1, CHUNK // chains)):
        rows = part.repeat_interleave(chains)
        on, off = (
            _clamped_mean(stack, layer, rows, value, sweeps=sweeps, generator=generator) for value in (1.0, 0.0)
        )
        differences.append((on - off).unflatten(0, (len(part), chains)).mean(1))
    return torch.cat(differences)


def maximize(
    stack: Stack, layer: int, units: Units = None, *, generator: torch.Generator, steps: int = 60, jitter: int = 1
) -> Tensor:
    """The picture of bounded norm with the largest input to a unit, by gradient ascent (Erhan et al. 2010, 3.1).

    Before every step the picture moves by up to `jitter` pixels, which suppresses details that depend on the exact
    position. In a deep Boltzmann machine the ascent is on the input from below alone.
    """
    index = unit_indices(stack, layer, units)
    low, high = stack.machines[0].units[0].limits
    channels, height, width = stack.channels, *_size(stack, layer)
    norm = math.sqrt(channels * height * width * (SHARE if high < math.inf else 1))
    like = next(stack.parameters())
    shape = (len(index), channels, height + 2 * jitter, width + 2 * jitter)
    x = NOISE * torch.rand(shape, generator=generator, device=like.device).to(like)
    for step in range(steps):
        top, left = torch.randint(2 * jitter + 1, (2,), generator=generator, device=like.device).tolist()
        x.requires_grad_()
        with torch.enable_grad():
            field = upward(stack, x[..., top : top + height, left : left + width], layer)[-1]
            (gradient,) = torch.autograd.grad(field.flatten(1).gather(1, index[:, None]).sum(), x)
        gradient = gradient / gradient.flatten(1).norm(dim=1).clamp(min=1e-12).view(-1, 1, 1, 1)
        x = (x.detach() + STEP * norm * (1 - step / steps) * gradient).clamp(low, high)
        x = x * (norm / x.flatten(1).norm(dim=1)).clamp(max=1).view(-1, 1, 1, 1)
    return x[..., jitter : jitter + height, jitter : jitter + width]


@torch.no_grad()
def path(stack: Stack, layer: int, units: Units = None, *, images: Tensor) -> Tensor:
    """The pixels of each picture that switch the units on, `(B, U, c, H, W)` for pictures `(B, c, H, W)`: a signal
    from the strongest response of each unit down to the pixels.

    In every layer the signal passes through the most probable unit of each block, in proportion to its probability.
    Above layer 1 negative weights count as 0.
    """
    index = unit_indices(stack, layer, units)
    x = visible(stack, images, layer)
    fields = upward(stack, x, layer)
    top = fields[-1].flatten(2) if fields[-1].ndim == 4 else fields[-1][..., None]
    peak = top.argmax(2)[:, index]  # (B, U)
    signal = torch.zeros_like(top)[:, None].repeat(1, len(index), 1, 1)
    unit = torch.arange(len(index), device=index.device).expand_as(peak)
    signal[torch.arange(len(x), device=index.device)[:, None], unit, index.expand_as(peak), peak] = 1
    signal = signal.flatten(0, 1).view(-1, *fields[-1].shape[1:])
    for depth in range(layer, 1, -1):
        signal = _paint(stack, depth, signal).clamp(min=0)
        block = stack.geometry[depth - 2].pool
        gate = _switches(stack.layers[depth - 2].unit.mean(fields[depth - 2]), block)
        signal = spread(as_maps(stack, depth - 1, signal), block) * gate.repeat_interleave(len(index), 0)
    pictures = as_maps(stack, 0, _paint(stack, 1, signal))
    return pictures.view(len(x), len(index), *pictures.shape[1:])


@torch.no_grad()
def reconstruction(
    stack: Stack, layer: int, *, images: Tensor, generator: torch.Generator, chains: int = 10, sweeps: int = 200
) -> Tensor:
    """Reconstructions of pictures `(B, c, h, w)` from the features of one layer alone.

    The layers below take their means, one after the other. A higher layer of a deep Boltzmann machine and its visible
    layer have layers between them with input from both sides: there the result is the average over Gibbs chains with
    this layer clamped to its features, and over the second half of the sweeps.
    """
    x = spread_over_blocks(stack, layer, stack.features(images, depth=layer, sizes="trim")[-1])
    place = stack.layers[layer - 1]
    if place.position == 1:
        return downward(stack, layer, x)
    machine, means = stack.machines[place.machine], []
    for part in x.split(max(1, CHUNK // chains)):
        state = start(machine, machine.only(place.position, part.repeat_interleave(chains, 0)))
        clamp: Clamp = {place.position: True}
        pictures = _mean_pictures(stack, place.machine, state, clamp, sweeps=sweeps, generator=generator)
        means.append(pictures.unflatten(0, (len(part), chains)).mean(1))
    return torch.cat(means)


def unit_indices(stack: Stack, layer: int, units: Units) -> Tensor:
    """Indices of units of a layer, all of them if `units` is None; UsageError for an unknown layer or unit."""
    n, device = stack.layer(layer).unit.n, next(stack.parameters()).device
    try:
        index = torch.arange(n) if units is None else torch.as_tensor(units).flatten()
    except (TypeError, ValueError, RuntimeError):  # no numbers, which torch refuses in several ways
        index = torch.empty(0)
    whole = not (index.is_floating_point() or index.is_complex() or index.dtype == torch.bool)
    if not whole or not len(index) or int(index.min()) < 0 or int(index.max()) >= n:
        raise UsageError(f"units={units!r}: layer {layer} has units 0 to {n - 1}; choose from them")
    return index.long().to(device)


def _size(stack: Stack, layer: int) -> tuple[int, int]:
    """Height and width of the pixels that a unit sees."""
    below = stack.geometry[:layer]
    if below[-1].dense:
        return trimmed_size(stack.picture[1:], below)
    return receptive_field(below, 0)[0], receptive_field(below, 1)[0]


def _paint(stack: Stack, layer: int, x: Tensor) -> Tensor:
    """Values of the units of a layer, painted with their weights onto the layer below: pooling units, or pixels."""
    return stack.layers[layer - 1].link.down_to_blocks(x)


def _switches(means: Tensor, block: int) -> Tensor:
    """Means of the most probable unit of each block, 0 for the others."""
    if block == 1:
        return means
    highest = F.max_pool2d(means, block)
    return means * (means == spread(highest, block))


def _clamped_mean(
    stack: Stack, layer: int, rows: Tensor, value: float, *, sweeps: int, generator: torch.Generator
) -> Tensor:
    """Mean picture of each chain, in which unit `rows[chain]` of the layer is clamped to `value` (1 or 0)."""
    index, place = stack.layers[layer - 1].machine, stack.layers[layer - 1].position
    machine = stack.machines[index]
    state = list(independent(machine, _smallest(stack, index), len(rows), generator))
    mask, corner = _clamp_mask(state[place], rows, stack.geometry[layer - 1].pool)
    state[place] = state[place].masked_fill(mask, 0)
    chain = torch.arange(len(rows))
    state[place][(chain, rows, *corner) if corner else (chain, rows)] = value
    pictures = _mean_pictures(stack, index, tuple(state), {place: mask}, sweeps=sweeps, generator=generator)
    if corner is None:
        return pictures
    (height, down), (width, right) = (receptive_field(stack.geometry[:layer], axis) for axis in (0, 1))
    top, left = corner[0] * down, corner[1] * right
    return pictures[..., top : top + height, left : left + width]


def _mean_pictures(
    stack: Stack, index: int, state: State, clamp: Clamp, *, sweeps: int, generator: torch.Generator
) -> Tensor:
    """Mean picture of each chain of machine `index`, over the second half of the sweeps."""
    machine, below = stack.machines[index], sum(layer.machine < index for layer in stack.layers)
    total = torch.zeros(())
    for step in range(sweeps):
        state = gibbs(machine, state, 1, generator=generator, clamp=clamp)
        if 2 * step + 1 < sweeps:
            continue
        if below:
            total = total + downward(stack, below, spread_over_blocks(stack, below, state[0]))
        else:
            total = total + machine.units[0].mean(machine.field(state, 0))
    return as_maps(stack, 0, total / ((sweeps + 1) // 2))


def _smallest(stack: Stack, index: int) -> tuple[int, ...]:
    """Shape of the visible layer of a machine that gives its highest layer a single block."""
    machine = stack.machines[index]
    if not isinstance(machine.links[0], Conv):
        return (machine.units[0].n,)
    block = machine.units[-1].pool
    shape: tuple[int, ...] = (machine.units[-1].n, block, block)
    for link in reversed(machine.links):
        shape = link.down_shape(shape)
    return shape


def _clamp_mask(layer: Tensor, rows: Tensor, block: int) -> tuple[Tensor, tuple[int, int] | None]:
    """A mask that is True at unit `rows[chain]` of each chain of a layer and at the others of its block; and the
    unit's place in the middle of its map, None for a fully connected layer."""
    mask, chain = torch.zeros_like(layer, dtype=torch.bool), torch.arange(len(rows))
    if layer.ndim == 2:
        mask[chain, rows] = True
        return mask, None
    top, left = (side // block // 2 * block for side in layer.shape[2:])
    mask[chain, rows, top : top + block, left : left + block] = True
    return mask, (top, left)
