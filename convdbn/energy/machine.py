"""The one model of this package: a layered Boltzmann machine.

    E(x) = sum_l U_l(x_l)  -  beta * sum_(a,b) <x_b, W_ab x_a>

Links join layers of units. Their graph is two-colorable, so all layers of one color are independent,
conditional on the other color. A restricted machine has two layers, a deep one a chain of layers; labels are
one more layer.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from convdbn.energy.kinds import make
from convdbn.energy.links import LINKS, Link
from convdbn.energy.states import check_beta, check_links, check_number, check_state
from convdbn.energy.units.base import Unit
from convdbn.energy.units.registry import UNITS
from convdbn.errors import UsageError
from convdbn.ops.grad import without_gradients

State = tuple[Tensor, ...]
"""One tensor for each layer, batch first."""

Given = tuple[Tensor | None, ...]
"""A state in which some layers may be None: unknown, or not needed."""


class BoltzmannMachine(nn.Module):
    """Units and the links between them; `links` are triples (lower layer, upper layer, link).

    Layer 0 is the visible layer. A link may be part of several triples, and a unit of several layers, which then
    share its parameters. `beta` scales the links but not the units; it is a number, or has one for each element of
    the batch.
    """

    units: Sequence[Unit]
    links: Sequence[Link]

    def __init__(self, units: Sequence[Unit], links: Sequence[tuple[int, int, Link]]) -> None:
        super().__init__()
        self.units = nn.ModuleList(units)  # type: ignore[assignment]
        self.links = nn.ModuleList(link for _, _, link in links)  # type: ignore[assignment]
        self.edges = [(a, b) for a, b, _ in links]
        self.owner = _first(units)
        self.colors = _two_colors(len(units), self.edges)
        check_links(units, links)

    def extra_repr(self) -> str:
        """A line for each layer, and what it is linked to."""
        lines = []
        for layer, unit in enumerate(self.units):
            above = [str(b) for a, b in self.edges if a == layer]
            linked = f", linked to layer {' and '.join(above)}" if above else ""
            lines.append(f"layer {layer}: {unit.n} {unit.kind}{linked}")
        return "\n".join(lines)

    def spec(self) -> dict[str, Any]:
        """Units and links as JSON, from which `build` makes the same machine, without its parameters."""
        links = [[a, b, link] for (a, b), link in zip(self.edges, _specs(self.links), strict=True)]
        return {"units": _specs(self.units), "links": links}

    @staticmethod
    def build(spec: dict[str, Any]) -> "BoltzmannMachine":
        """The machine that `spec` describes."""
        links = _parts(LINKS, [link for _, _, link in spec["links"]])
        triples = [(a, b, link) for (a, b, _), link in zip(spec["links"], links, strict=True)]
        return BoltzmannMachine(_parts(UNITS, spec["units"]), triples)

    @property
    def unique_links(self) -> list[tuple[int, int, Link]]:
        """The triples (lower layer, upper layer, link), each link once."""
        triples = zip(_first(self.links), self.edges, self.links, strict=True)
        return [(a, b, link) for index, (first, (a, b), link) in enumerate(triples) if first == index]

    def clamped_visible(self, visible: Tensor) -> Given:
        """The state with `visible` in layer 0 and in the layers that share its unit; the other layers are None."""
        return tuple(visible if layer == 0 else None for layer in self.owner)

    def only(self, layer: int, x: Tensor) -> Given:
        """The state with `x` in one layer; the other layers are None."""
        return tuple(x if index == layer else None for index in range(len(self.units)))

    @property
    def label_layer(self) -> int | None:
        """The layer of the labels, whose units are categorical; None if there is none."""
        return next((layer for layer, unit in enumerate(self.units) if layer and unit.kind == "categorical"), None)

    @property
    def deep(self) -> bool:
        """Whether there is more than one hidden layer, not counting labels and copies of a layer."""
        return len({*self.owner} - {0, self.label_layer}) > 1

    def shapes(self, visible: Sequence[int]) -> list[tuple[int, ...]]:
        """Shape of every layer, without the batch, over a visible layer of this shape."""
        n = self.units[0].n
        if not isinstance(visible, Sequence) or len(visible) not in (1, 3) or visible[0] != n:
            raise UsageError(f"visible={visible}: is not ({n},) or ({n}, height, width); leave the batch out")
        shapes: dict[int, tuple[int, ...]] = {0: tuple(visible)}
        while len(shapes) < len(self.units):
            for (a, b), link in zip(self.edges, self.links, strict=True):
                if a in shapes and b not in shapes:
                    shapes[b] = link.up_shape(shapes[a])
                elif b in shapes and a not in shapes:
                    shapes[a] = link.down_shape(shapes[b])
        return [shapes[layer] for layer in range(len(self.units))]

    def field(self, state: Given, layer: int, beta: float | Tensor = 1.0) -> Tensor:
        """The field that reaches a layer from its neighbors in `state`; a neighbor that is None adds nothing.

        UsageError if `state` does not fit the machine, or if every neighbor is None.
        """
        check_number("layer", layer, len(self.units))
        check_state(self, state)
        shapes = []
        for (a, b), link in zip(self.edges, self.links, strict=True):
            below, above = state[a], state[b]
            if layer == b and below is not None:
                shapes.append(link.up_shape(tuple(below.shape[1:])))
            elif layer == a and above is not None:
                shapes.append(link.down_shape(tuple(above.shape[1:])))
        if not shapes:
            raise UsageError(f"layer={layer}: no neighbor has a state; give at least one")
        if len({*shapes}) > 1:
            raise UsageError(f"layer={layer}: its neighbors make it {shapes}; take the shapes of machine.shapes")
        check_beta(beta, state)
        return self.unchecked_field(state, layer, beta)

    def unchecked_field(self, state: Given, layer: int, beta: float | Tensor = 1.0) -> Tensor:
        """`field` without checks, for the loops of sampling and learning: in a small machine the checks take longer
        than the products."""
        total: Tensor | None = None
        units = [*self.units]  # an index into a ModuleList takes as long as a small product
        for (a, b), link in zip(self.edges, self.links, strict=True):
            below, above = state[a], state[b]
            if layer == b and below is not None:
                part = link.up(units[a].to_links(below))
            elif layer == a and above is not None:
                part = link.down(units[b].to_links(above))
            else:
                continue
            total = part if total is None else total + part
        return _scaled(units[layer].to_links(cast(Tensor, total)), beta)

    def energy(self, state: State, beta: float | Tensor = 1.0) -> Tensor:
        """E(x) of a whole state, `(B,)`."""
        check_state(self, state, whole=True)
        check_beta(beta, state)
        own = sum(unit.energy(x) for unit, x in zip(self.units, state, strict=True))
        return own + _scaled(self.coupling(state), beta)

    def coupling(self, state: State) -> Tensor:
        """The energy of the links at a beta of 1, `(B,)`."""
        total: float | Tensor = 0.0
        for (a, b), link in zip(self.edges, self.links, strict=True):
            below, above = self.units[a].to_links(state[a]), self.units[b].to_links(state[b])
            total = total - (link.up(below) * above).flatten(1).sum(1)
        return cast(Tensor, total)

    def free_energy(self, state: Given, color: int = 0, beta: float | Tensor = 1.0) -> Tensor:
        """-log of the sum of exp(-E) over every layer of the other color, exactly, `(B,)`.

        It reads only the layers of `color` from `state`; 0 is the color of the visible layer.
        """
        check_number("color", color, 2)
        check_state(self, state)
        same_color = tuple(x if c == color else None for x, c in zip(state, self.colors, strict=True))
        total: float | Tensor = 0.0
        for layer, (unit, x) in enumerate(zip(self.units, same_color, strict=True)):
            if x is not None:
                total = total + unit.energy(x)
            elif self.colors[layer] != color:
                total = total - unit.log_norm(self.field(same_color, layer, beta))
            else:
                raise UsageError(f"state[{layer}]=None: the free energy in color {color} needs this layer; give it")
        return cast(Tensor, total)

    @without_gradients
    def contrast(
        self,
        positive: State,
        negative: State,
        *,
        scale: float = 1.0,
        onto: dict[nn.Parameter, Tensor] | None = None,
        keep: float = 0.0,
    ) -> dict[nn.Parameter, Tensor]:
        """`scale` times model statistics minus data statistics, for each parameter that learns.

        With states of the data and of the model it is the gradient of minus the mean log-likelihood. It needs no
        autograd, so no product runs twice. With buffers `onto`, it is added in place to `keep` times their values.
        """
        if onto is None:
            onto = {x: torch.zeros_like(x) for x in self.parameters() if x.requires_grad}
        keeps = dict.fromkeys(onto, keep)  # after the first addition to a buffer, its factor is 1
        units = [*self.units]
        phases = [(state, sign * scale / state[0].shape[0]) for state, sign in ((negative, 1), (positive, -1))]
        columns = [state[0].new_full(state[0].shape[:1], share) for state, share in phases]
        for (a, b), link in zip(self.edges, self.links, strict=True):
            weight = link.weight
            if weight not in onto:
                continue
            for state, share in phases:
                x, y = units[a].to_links(state[a]), units[b].to_links(state[b])
                link.correlate(x, y, out=onto[weight], alpha=share, beta=keeps.pop(weight, 1.0))
        # Biases last: the products have just read the same states into the cache.
        for layer, unit in enumerate(units):
            for (state, _), column in zip(phases, columns, strict=True):
                for parameter, each in unit.statistics(state[layer], partial(self.unchecked_field, state, layer)):
                    if parameter not in onto:
                        continue
                    onto[parameter].view(-1).addmv_(each.T, column, beta=keeps.pop(parameter, 1.0))
        return onto


def mean_per_unit(x: Tensor) -> Tensor:
    """Mean over batch and positions, for each unit or map: `(B, n, ...)` to `(n,)`."""
    return x.mean(0) if x.ndim == 2 else x.mean((2, 3)).mean(0)


def _scaled(x: Tensor, beta: float | Tensor) -> Tensor:
    if isinstance(beta, Tensor):
        return x * beta.view(-1, *[1] * (x.ndim - 1))
    return x if beta == 1.0 else x * beta


def _first(parts: Sequence[Any]) -> list[int]:
    """Index of the first occurrence of each part."""
    return [next(index for index, other in enumerate(parts) if other is part) for part in parts]


def _specs(parts: Sequence[Any]) -> list[Any]:
    """A spec for each part, or the index of its first occurrence."""
    return [parts[first].spec() if first == index else first for index, first in enumerate(_first(parts))]


def _parts(kinds: dict[str, Any], specs: Sequence[Any]) -> list[Any]:
    """The inverse of `_specs`."""
    parts: list[Any] = []
    for spec in specs:
        parts.append(parts[spec] if isinstance(spec, int) else make(spec, kinds))
    return parts


def _two_colors(layers: int, edges: list[tuple[int, int]]) -> list[int]:
    """Color 0 for layer 0 and every layer an even number of links away, color 1 for the others."""
    colors: dict[int, int] = {0: 0}
    while len(colors) < layers:
        pairs = edges + [(b, a) for a, b in edges]
        neighbors = {b: 1 - colors[a] for a, b in pairs if a in colors and b not in colors}
        if not neighbors:
            apart = sorted(set(range(layers)) - set(colors))
            raise UsageError(f"links: layers {apart} are not linked to layer 0; add links")
        colors |= neighbors
    odd = [(a, b) for a, b in edges if colors[a] == colors[b]]
    if odd:
        raise UsageError(f"links={odd}: join layers of one color; make the graph of layers two-colorable")
    return [colors[layer] for layer in range(layers)]
