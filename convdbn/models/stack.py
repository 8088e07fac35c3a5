"""A stack of machines; each sees the pooled maps of the one below: RBM, DBN, convolutional DBN, and DBM."""

import warnings
from collections.abc import Mapping, MutableSequence, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convdbn.energy import BoltzmannMachine, Link, Unit
from convdbn.errors import UsageError
from convdbn.images import Pipeline, TensorOrArray, build_transform
from convdbn.models.fitting import Sizes, fitted, geometry
from convdbn.models.pictures import Pictures
from convdbn.recipes import Recipe
from convdbn.recipes.geometry import Geometry, receptive_field
from convdbn.sampling.gibbs import mean_field, start
from convdbn.storage.metrics import Metrics

TRAINING = ("recipe", "data", "progress")
"""Entries of the metadata that every `convdbn train` writes."""


@dataclass(frozen=True, eq=False)
class HiddenLayer:
    """A hidden layer: layer `position` of machine `machine`, both counted from 0, and the link below it."""

    machine: int
    position: int
    link: Link
    unit: Unit
    geometry: Geometry


class FeatureInfo(NamedTuple):
    """The maps of one layer: their number, the pixels of the transformed picture from one position to the next
    (`reduction`), and the side of the receptive field of a position, or its longer side where it is not square.

    A position is a pooling unit, which sees what all units of its block see.
    """

    layer: int
    channels: int
    reduction: int
    receptive_field: int


class Stack(Pictures, nn.Module):
    """A transform and the machines above it, from the lowest; `picture` is the shape that layer 1 was trained on.

    `forward` gives the maps of all layers with gradients, `features` without. The machines infer upwards with the
    weights that they also generate with. Only the lowest layers may generate with machines of their own, those in
    `generative`: up-down learning unties their weights, and an autoencoder has a decoder.
    """

    machines: MutableSequence[BoltzmannMachine]
    generative: MutableSequence[BoltzmannMachine]
    metadata: dict[str, Any]
    """Record of the training: recipe, data, progress; empty for a model that was built by hand."""
    history: list[Metrics]
    """Rows of metrics of the training."""
    place: Tensor

    def __init__(
        self,
        transform: Pipeline,
        machines: Sequence[BoltzmannMachine],
        picture: Sequence[int],
        generative: Sequence[BoltzmannMachine] = (),
    ) -> None:
        super().__init__()
        self.transform = transform
        self.machines = nn.ModuleList(machines)  # type: ignore[assignment]
        self.generative = nn.ModuleList(generative)  # type: ignore[assignment]
        self.picture = tuple(picture)
        self.metadata, self.history = {}, []
        # Its device and dtype are those of the model while there is no machine yet.
        self.register_buffer("place", torch.zeros(()), persistent=False)

    def spec(self) -> dict[str, Any]:
        """The architecture as JSON."""
        return {
            "transform": self.transform.spec(),
            "machines": [machine.spec() for machine in self.machines],
            "picture": list(self.picture),
            "untied": len(self.generative),
        }

    @staticmethod
    def build(spec: Mapping[str, Any]) -> "Stack":
        """The stack that `spec` describes, its parameters still zero."""
        machines, generative = (
            [BoltzmannMachine.build(machine) for machine in specs]
            for specs in (spec["machines"], spec["machines"][: spec.get("untied", 0)])
        )
        return Stack(build_transform(spec["transform"]), machines, spec["picture"], generative)

    @property
    def channels(self) -> int:
        """Channels of the pictures, after the transform."""
        return self.picture[0]

    @property
    def feature_info(self) -> list[FeatureInfo]:
        """Channels, reduction and receptive field of each layer's features; 0 pixels for fully connected layers."""
        info = []
        for depth, layer in enumerate(self.layers, start=1):
            if layer.geometry.dense:
                info.append(FeatureInfo(depth, layer.unit.n, 0, 0))
                continue
            fields, pool = [receptive_field(self.geometry[:depth], axis) for axis in (0, 1)], layer.geometry.pool
            sees = max(side + (pool - 1) * step for side, step in fields)
            info.append(FeatureInfo(depth, layer.unit.n, pool * fields[0][1], sees))
        return info

    def features(
        self, images: TensorOrArray, *, depth: int | None = None, sizes: Sizes = "error", trim: bool | None = None
    ) -> list[Tensor]:
        """Probabilities of the pooling units, a list with one `(B, channels, h, w)` for each of the lowest `depth`
        layers (all of them by default); fully connected layers give `(B, n)`.

        `images` are `(B, c, H, W)`, bytes or floats in [0, 1], as a tensor or an array; a model of raw data takes any
        finite floats. DataError for other pictures. Each picture's features depend on that picture alone.
        Sizes that the pooling blocks do not divide raise `DataError`, naming the nearest legal ones; with
        `sizes="trim"` the transformed pictures lose a border, with "pad" they get one. No gradients are recorded:
        `forward` is the same with gradients. `trim` is the old spelling of `sizes`.
        """
        if trim is not None:
            sizes = "trim" if trim else "error"
            warnings.warn(
                f"trim={trim}: is the old spelling; write sizes={sizes!r}", DeprecationWarning, stacklevel=2
            )
        depth = len(self.layers) if depth is None else depth
        self.layer(depth, "depth")
        x = fitted(self.prepare(images), self.geometry[:depth], sizes)
        maps: list[Tensor] = []
        for index in range(len(self.machines)):
            if len(maps) < depth:
                maps += self.infer(maps[-1] if maps else x, index)
        return maps[:depth]

    def forward(self, images: TensorOrArray) -> list[Tensor]:
        """The maps of every layer, as `features` gives them, but differentiable in the parameters and the pixels.

        Values agree with `features` to rounding, because the kernels of `convdbn.ops` have no gradients and are not
        used; without kernels the bits are the same. In a deep machine gradients go through all sweeps of
        mean field.
        """
        x = fitted(self.transform.prepare(images, like=next(self.parameters(), self.place)), self.geometry)
        maps: list[Tensor] = []
        for index in range(len(self.machines)):
            maps += self._pooled(maps[-1] if maps else x, index)
        return maps

    def activations(self, images: TensorOrArray, layer: int, *, pooled: bool = False) -> Tensor:
        """Probabilities of the units of one layer, 1 being the lowest, before pooling: `(B, channels, H, W)`, or
        `(B, n)` for a fully connected layer. With `pooled`, those of its pooling units, as in `features`."""
        hidden = self.layer(layer)
        if pooled:
            return self.features(images, depth=layer)[-1]
        x = fitted(self.prepare(images), self.geometry[:layer])
        for index in range(hidden.machine):
            x = self.infer(x, index)[-1]
        with torch.no_grad():
            return hidden.unit.mean(self._fields(x, hidden.machine)[hidden.position])

    def sample(self, count: int, *, sweeps: int = 2000, seed: int = 0) -> Tensor:
        """`count` mean pictures that the model draws, `(count, c, h, w)`, as layer 1 sees them, after the transform.

        Gibbs sampling in the top machine, cooled from noise over `sweeps` sweeps, then one pass down. The same seed
        draws the same pictures.
        """
        from convdbn.models.generate import generate  # imported late: it imports this module

        for name, value in (("count", count), ("sweeps", sweeps)):
            if value < 1:
                raise UsageError(f"{name}={value}: must be at least 1")
        generator = torch.Generator(next(self.parameters()).device).manual_seed(seed)
        return next(generate(self, count, burn_in=sweeps, at=[0], generator=generator))

    def save(self, path: str | Path) -> Path:
        """Write the model into a .safetensors file, with its transform, recipe, data and history; return its path.

        `load` reads the file as it reads a run folder.
        """
        from convdbn.models.files import save  # imported late: it imports this module

        save(Path(path), self, {**self.metadata, "history": self.history})
        return Path(path)

    @property
    def recipe(self) -> Recipe | None:
        """The recipe of the training; None for a model without one."""
        return Recipe.from_dict(self.metadata["recipe"]) if "recipe" in self.metadata else None

    def prepare(self, images: TensorOrArray) -> Tensor:
        """Checked and transformed pictures, the input of the first layer; no gradients are recorded."""
        with torch.no_grad():
            return self.transform.prepare(images, like=next(self.parameters(), self.place))

    @torch.no_grad()
    def infer(self, x: Tensor, index: int) -> list[Tensor]:
        """Pooled maps of each hidden layer of machine `index`, from the maps below it: exact where the machine is
        restricted, else by mean field. No gradients are recorded."""
        return self._pooled(x, index)

    def _pooled(self, x: Tensor, index: int) -> list[Tensor]:
        """The result of `infer`, with gradients where they are recorded."""
        units = self.machines[index].units
        return [units[layer].pooling_mean(field) for layer, field in self._fields(x, index).items()]

    def _fields(self, x: Tensor, index: int) -> dict[int, Tensor]:
        """The field that reaches each hidden layer of machine `index`, by its position, from the maps below."""
        machine = self.machines[index]
        x = x if max(machine.links[0].kernel) else x.flatten(1)
        machine.units[0].check(x.detach(), "images" if index == 0 else f"input of machine {index + 1}")
        state = machine.clamped_visible(x)
        if len(machine.units) > 2:
            clamped = {layer: True for layer, values in enumerate(state) if values is not None}
            state = mean_field(machine, start(machine, state), clamp=clamped)
        hidden = [above for below, above, _ in machine.unique_links if below < above]
        return {layer: machine.field(state, layer) for layer in hidden}

    def downward(self, index: int) -> BoltzmannMachine:
        """The machine that generates the visible layer of machine `index` from its hidden one."""
        return self.generative[index] if index < len(self.generative) else self.machines[index]

    @property
    def layers(self) -> list[HiddenLayer]:
        """Every hidden layer from the lowest."""
        return [
            HiddenLayer(index, above, link, machine.units[above], geometry(link, machine.units[above]))
            for index, machine in enumerate(self.machines)
            for below, above, link in machine.unique_links
            if below < above  # labels are linked downwards
        ]

    def layer(self, number: int, name: str = "layer") -> HiddenLayer:
        """Hidden layer `number`, 1 being the lowest; UsageError with the argument's `name` where there is none."""
        layers = self.layers
        if not isinstance(number, Integral) or not 1 <= number <= len(layers):
            raise UsageError(f"{name}={number!r}: the model has layers 1 to {len(layers)}; choose one of them")
        return layers[number - 1]

    @property
    def geometry(self) -> list[Geometry]:
        """Filters and blocks of every hidden layer."""
        return [layer.geometry for layer in self.layers]

    def __repr__(self) -> str:
        """A line for the pictures and one for each layer; `print(model.machines)` shows all parts."""
        lines = [f"Stack(picture={self.picture}, transform={[step['kind'] for step in self.transform.spec()]}"]
        for number, layer in enumerate(self.layers, start=1):
            lines.append(f"  layer {number}: {layer.unit.n} {layer.unit.kind}, {layer.geometry}")
        return "\n".join(lines) + ")"

    @property
    def deep(self) -> bool:
        """Whether some machine has several hidden layers, which were trained together."""
        return any(machine.deep for machine in self.machines)
