"""A stack as a deterministic network with a softmax on top, to be trained by backpropagation."""

import copy
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convdbn.energy import UNITS, BlockSoftmax, BoltzmannMachine, Gaussian, Link, Unit
from convdbn.energy.kinds import make
from convdbn.errors import UsageError
from convdbn.images import Pipeline, build_transform
from convdbn.models.geometry import Geometry, trimmed
from convdbn.models.pyramid import SpatialPyramid
from convdbn.models.stack import Stack
from convdbn.sampling.gibbs import mean_field, start
from convdbn.storage import checkpoint

CLASSIFIER_FILE = checkpoint.FILES["classifier"]
BASELINE_FILE = "baseline.safetensors"
"""The same network, trained from random weights."""

Dropout = Callable[[Tensor], Tensor]
"""What dropout does to the values between two layers."""


def no_dropout(values: Tensor) -> Tensor:
    """No dropout."""
    return values


class Shape(NamedTuple):
    """Channels below and above a layer, its filters, (0, 0) where it is fully connected, pooling blocks and units.

    `hidden` is the spec of the units; files of version 0.1.0 have their kind alone.
    """

    below: int
    above: int
    kernel: tuple[int, int]
    pool: int
    hidden: dict[str, Any] | str = "bernoulli"

    @property
    def geometry(self) -> Geometry:
        return Geometry(self.kernel, self.pool)

    @property
    def unit(self) -> Unit:
        """Units of the layer's kind."""
        if isinstance(self.hidden, dict):
            unit: Unit = make(self.hidden, UNITS)
            return unit
        return UNITS[self.hidden](self.above) if self.geometry.dense else BlockSoftmax(self.above, self.pool)


class Classifier(nn.Module):
    """Pooling probabilities layer by layer, their means over the cells of `pooling`, and a linear map to the classes.

    Pictures `(B, c, H, W)`, bytes or floats in [0, 1], become logits `(B, len(classes))`. They go through the stack's
    transform first and lose the centered border that the pooling blocks do not divide.
    """

    layers: Sequence[nn.Sequential]
    center: Tensor
    scale: Tensor
    channels: int = 1
    """Channels of the pictures, after the transform."""

    def __init__(
        self,
        transform: Pipeline,
        shapes: Sequence[Shape],
        *,
        classes: Sequence[str],
        pooling: SpatialPyramid,
    ) -> None:
        super().__init__()
        self.transform, self.shapes = transform, list(shapes)
        self.classes, self.pooling = list(classes), pooling
        self.layers = nn.ModuleList(_layer(shape) for shape in shapes)  # type: ignore[assignment]
        cells = sum(side**2 for side in pooling.grid)
        described = [shapes[layer - 1] for layer in pooling.layers]
        values = sum(shape.above * (1 if shape.geometry.dense else cells) for shape in described)
        self.register_buffer("center", torch.zeros(values))
        self.register_buffer("scale", torch.ones(values))
        self.linear = nn.Linear(values, len(classes))
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    @staticmethod
    def from_stack(stack: Stack, classes: Sequence[str], pooling: SpatialPyramid) -> "Classifier":
        """The network whose maps are the features of the lowest layers of `stack`, as far up as `pooling` takes them.

        Its linear map is 0: every class is as likely as any other.
        """
        depth = max(pooling.layers)
        if depth > len(stack.layers):
            raise UsageError(f"layers={pooling.layers}: the model has layers 1 to {len(stack.layers)}")
        if any(isinstance(layer.unit, Gaussian) for layer in stack.layers[:depth]):
            raise UsageError("model: a layer of Gaussian units is a code; take the layers below it")
        if stack.deep and (not stack.geometry[0].dense or depth < len(stack.layers)):
            raise UsageError(
                "layers: those that were trained together are taken whole, and fully connected ones alone"
            )
        shapes = [
            Shape(layer.link.weight.shape[1], layer.unit.n, *layer.geometry, layer.unit.spec())
            for layer in stack.layers[:depth]
        ]
        network = (
            # Its probabilities as they are: without the root, 1.16 % of held-out digits are missed instead of 1.21.
            DeepClassifier(stack.transform, stack.machines[0], classes=classes, pooling=replace(pooling, power=1.0))
            if stack.deep
            else Classifier(stack.transform, shapes, classes=classes, pooling=pooling)
        )
        network.channels = stack.channels
        network.to(stack.machines[0].units[0].bias)
        below = [stack.machines[0].units[0], *(layer.unit for layer in stack.layers)]
        for module, visible, layer in zip(network.layers, below, stack.layers, strict=False):
            _copy(layer.link, visible, layer.unit, module)
        return network

    def inputs(self, images: Tensor) -> Tensor:
        """What the lowest layer sees of pictures, which no training changes."""
        x = trimmed(self.transform.prepare(images, like=self.linear.bias), [shape.geometry for shape in self.shapes])
        return x.flatten(1) if self.shapes[0].geometry.dense else x

    def maps(self, inputs: Tensor, thinned: Dropout = no_dropout) -> list[Tensor]:
        """Pooling probabilities of every layer, the lowest first: those of `Stack.features`, but differentiable.

        What one fully connected layer sees of another goes through `thinned`, which may drop some of it.
        """
        x, maps = inputs, list[Tensor]()
        for layer, shape in zip(self.layers, self.shapes, strict=True):
            seen = thinned(x) if maps and shape.geometry.dense else x
            x = layer(seen.flatten(1) if shape.geometry.dense else seen)
            maps.append(x)
        return maps

    def values(self, inputs: Tensor, thinned: Dropout = no_dropout) -> Tensor:
        """What the linear map sees, `(B, n)`: means over cells, standardized."""
        return (self._rows(inputs, thinned) - self.center) * self.scale

    def _rows(self, inputs: Tensor, thinned: Dropout = no_dropout) -> Tensor:
        # A power below 1 has no derivative at 0.
        return self.pooling([x.clamp(min=1e-12) for x in self.maps(inputs, thinned)])

    @torch.no_grad()
    def standardize(self, batches: Iterable[Tensor]) -> None:
        """Center and scale the values by those of these inputs, once; scales of rare ones stay near the common one.

        Unlike normalization by batches this leaves each picture's logits to that picture alone.
        """
        rows = torch.cat([self._rows(batch) for batch in batches])
        variance = rows.var(0, correction=0)
        self.center.copy_(rows.mean(0))
        self.scale.copy_((variance + variance.mean()).clamp(min=1e-12).rsqrt())

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.values(self.inputs(images)))
        return logits

    def spec(self) -> dict[str, Any]:
        """The architecture as JSON."""
        return {
            "transform": self.transform.spec(),
            "shapes": [list(shape) for shape in self.shapes],
            "classes": self.classes,
            "pooling": asdict(self.pooling),
            "channels": self.channels,
        }

    @staticmethod
    def build(spec: Mapping[str, Any]) -> "Classifier":
        """The network that `spec` describes, before its parameters are loaded."""
        described = spec["pooling"]
        pooling = SpatialPyramid(**described | {name: tuple(described[name]) for name in ("layers", "grid")})
        transform, classes = build_transform(spec["transform"]), spec["classes"]
        network: Classifier
        if "machine" in spec:
            machine = BoltzmannMachine.build(spec["machine"])
            network = DeepClassifier(transform, machine, classes=classes, pooling=pooling)
        else:
            shapes = [
                Shape(below, above, (down, across), *rest) for below, above, (down, across), *rest in spec["shapes"]
            ]
            network = Classifier(transform, shapes, classes=classes, pooling=pooling)
        network.channels = spec.get("channels", 1)
        return network


class DeepClassifier(Classifier):
    """A fully connected deep Boltzmann machine as a network (Salakhutdinov and Hinton 2009, section 2.4).

    Each layer sees the one below and, as further input with weights of its own, the mean-field probabilities q of the
    one above. They come from the trained machine, so before fine-tuning the network agrees with it.
    """

    machine: BoltzmannMachine
    from_above: Sequence[nn.Linear]

    def __init__(
        self, transform: Pipeline, machine: BoltzmannMachine, *, classes: Sequence[str], pooling: SpatialPyramid
    ) -> None:
        units = [unit for unit in machine.units if unit.kind != "categorical"]
        shapes = [Shape(below.n, above.n, (0, 0), 1, above.spec()) for below, above in itertools.pairwise(units)]
        super().__init__(transform, shapes, classes=classes, pooling=pooling)
        self.machine = copy.deepcopy(machine).requires_grad_(False)
        self.from_above = nn.ModuleList(  # type: ignore[assignment]
            nn.Linear(above.n, below.n, bias=False) for below, above in itertools.pairwise(units[1:])
        )
        with torch.no_grad():
            for linear, link in zip(self.from_above, machine.links[1:], strict=False):  # labels have no row
                linear.weight.copy_(link.weight.T)

    def inputs(self, images: Tensor) -> Tensor:
        """Pixels and q of every layer but the first, one after the other, `(B, n)`."""
        return self.with_inference(super().inputs(images))

    @torch.no_grad()
    def with_inference(self, visible: Tensor) -> Tensor:
        state = mean_field(self.machine, start(self.machine, self.machine.clamped_visible(visible)), clamp={0: True})
        return torch.cat([visible, *state[2 : len(self.layers) + 1]], 1)

    def maps(self, inputs: Tensor, thinned: Dropout = no_dropout) -> list[Tensor]:
        x, *inferred = inputs.split([self.machine.units[0].n, *(shape.above for shape in self.shapes[1:])], 1)
        maps: list[Tensor] = []
        for depth, layer in enumerate(self.layers):
            field = layer[0](thinned(x) if maps else x)
            if depth < len(inferred):
                field = field + self.from_above[depth](thinned(inferred[depth]))
            x = layer[1](field)
            maps.append(x)
        return maps

    def spec(self) -> dict[str, Any]:
        return {**super().spec(), "machine": self.machine.spec()}


def save(
    path: Path, network: Classifier, metadata: Mapping[str, Any], trainer: Mapping[str, Tensor] | None = None
) -> None:
    """Write the network with its transforms, classes and `metadata`, and what going on with its training needs."""
    tensors = checkpoint.with_trainer(network.state_dict(), trainer or {})
    checkpoint.write(path, tensors, {"classifier": network.spec(), **metadata})


def load(path: str | Path) -> Classifier:
    """The network in a file or folder, whether its training has finished or not; else raises `CheckpointError`."""
    return load_run(path)[0]


def load_run(path: str | Path) -> tuple[Classifier, dict[str, Any], dict[str, Tensor]]:
    """The network, the metadata, and the trainer's tensors (none once training has finished)."""
    return checkpoint.restore(checkpoint.file_in(Path(path), "classifier"), "classifier", Classifier.build)


def classifier_file(path: str | Path) -> Path | None:
    """The classifier in a file, or in a folder that holds no model besides; None where there is another thing."""
    file = checkpoint.file_in(Path(path), "model")
    return file if file.is_file() and "classifier" in checkpoint.read_metadata(file) else None


def _layer(shape: Shape) -> nn.Sequential:
    """The link as a map with a bias, and what the units make of it; UsageError for units that have no such module."""
    dense = shape.geometry.dense
    linear = nn.Linear(shape.below, shape.above) if dense else nn.Conv2d(shape.below, shape.above, shape.kernel)
    return nn.Sequential(linear, shape.unit.as_module())


@torch.no_grad()
def _copy(link: Link, visible: Unit, hidden: Unit, layer: nn.Module) -> None:
    """The link's weights and the hidden biases, with the 1/s^2 of Gaussian visibles multiplied in."""
    weight, bias = layer.parameters()
    weight.copy_(visible.to_links(link.weight))
    bias.copy_(hidden.bias)
