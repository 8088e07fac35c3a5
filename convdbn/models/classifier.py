"""A stack as a deterministic network with a softmax on top, to be trained by backpropagation."""

import copy
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convdbn.energy import LINKS, UNITS, BlockSoftmax, BoltzmannMachine, Conv, Dense, Gaussian, Link, Unit
from convdbn.energy.kinds import make
from convdbn.errors import UsageError
from convdbn.images import Pipeline, TensorOrArray, build_transform
from convdbn.models.fitting import geometry, trimmed
from convdbn.models.pyramid import SpatialPyramid
from convdbn.models.stack import Stack
from convdbn.sampling.gibbs import mean_field, start

Dropout = Callable[[Tensor], Tensor]
"""A function that drops some of the values between two layers."""


def no_dropout(values: Tensor) -> Tensor:
    """The same values."""
    return values


class Part(NamedTuple):
    """The link and the units that one layer of the network is made of."""

    link: Link
    unit: Unit

    def spec(self) -> dict[str, Any]:
        """Both as JSON."""
        return {"link": self.link.spec(), "unit": self.unit.spec()}

    @staticmethod
    def build(spec: Any) -> "Part":
        """The part that `spec` describes. Version 0.1.0 wrote channels, number and size of the filters, side of the
        blocks, and kind of the units."""
        if isinstance(spec, Mapping):
            return Part(make(spec["link"], LINKS), make(spec["unit"], UNITS))
        below, above, (height, width), pool, *kind = spec
        if height:
            return Part(Conv(below, above, (height, width)), BlockSoftmax(above, pool))
        return Part(Dense(below, above), UNITS[kind[0] if kind else "bernoulli"](above))


class Classifier(nn.Module):
    """Pooling probabilities layer by layer, their means over the cells of `pooling`, and a linear map to the classes.

    Pictures `(B, c, H, W)`, bytes or floats in [0, 1] as for `Stack.features`, become logits `(B, len(classes))`.
    They go through the stack's transform first and lose the centered border that the pooling blocks do not divide.
    """

    layers: Sequence[nn.Sequential]
    center: Tensor
    scale: Tensor
    channels: int = 1
    """Channels of the pictures, after the transform."""

    def __init__(
        self,
        transform: Pipeline,
        parts: Sequence[Part],
        *,
        classes: Sequence[str],
        pooling: SpatialPyramid,
    ) -> None:
        super().__init__()
        self.transform, self.specs = transform, [part.spec() for part in parts]
        self.geometry = [geometry(*part) for part in parts]
        self.classes, self.pooling = list(classes), pooling
        self.layers = nn.ModuleList(  # type: ignore[assignment]
            nn.Sequential(link.as_module(), unit.as_module()) for link, unit in parts
        )
        cells = sum(side**2 for side in pooling.grid)
        described = [parts[layer - 1] for layer in pooling.layers]
        values = sum(unit.n * (cells if max(link.kernel) else 1) for link, unit in described)
        self.register_buffer("center", torch.zeros(values))
        self.register_buffer("scale", torch.ones(values))
        self.linear = nn.Linear(values, len(classes))
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    @staticmethod
    def from_stack(stack: Stack, classes: Sequence[str], pooling: SpatialPyramid) -> "Classifier":
        """The network whose maps are the features of `stack`, up to the highest layer that `pooling` takes.

        Its linear map is 0: all classes are equally likely.
        """
        depth = max(pooling.layers)
        if depth > len(stack.layers):
            raise UsageError(f"layers={pooling.layers}: the model has layers 1 to {len(stack.layers)}")
        if any(isinstance(layer.unit, Gaussian) for layer in stack.layers[:depth]):
            raise UsageError(
                f"layers={pooling.layers}: a layer of Gaussian units is a code; take the layers below it"
            )
        if stack.deep and (not stack.geometry[0].dense or depth < len(stack.layers)):
            raise UsageError(
                f"layers={pooling.layers}: layers that were trained together are taken whole, and must be fully "
                f"connected; take layer {len(stack.layers)} too, or another model"
            )
        parts = [Part(layer.link, layer.unit) for layer in stack.layers[:depth]]
        network = (
            # Power 1: without the square root, 1.16 % of held-out digits are misclassified instead of 1.21 %.
            DeepClassifier(stack.transform, stack.machines[0], classes=classes, pooling=replace(pooling, power=1.0))
            if stack.deep
            else Classifier(stack.transform, parts, classes=classes, pooling=pooling)
        )
        network.channels = stack.channels
        network.to(stack.machines[0].units[0].bias)
        below = [stack.machines[0].units[0], *(layer.unit for layer in stack.layers)]
        for module, visible, layer in zip(network.layers, below, stack.layers, strict=False):
            _copy(layer.link, visible, layer.unit, module)
        return network

    def inputs(self, images: TensorOrArray) -> Tensor:
        """The input of the lowest layer, which no training changes."""
        x = trimmed(self.transform.prepare(images, like=self.linear.bias), self.geometry)
        return x.flatten(1) if self.geometry[0].dense else x

    def maps(self, inputs: Tensor, dropout: Dropout = no_dropout) -> list[Tensor]:
        """Pooling probabilities of every layer, the lowest first: those of `Stack.features`, but differentiable.

        `dropout` is applied to the input of each fully connected layer above the first layer.
        """
        x, maps = inputs, list[Tensor]()
        for layer, shape in zip(self.layers, self.geometry, strict=True):
            x = dropout(x) if maps and shape.dense else x
            x = layer(x.flatten(1) if shape.dense else x)
            maps.append(x)
        return maps

    def values(self, inputs: Tensor, dropout: Dropout = no_dropout) -> Tensor:
        """The input of the linear map, `(B, n)`: means over cells, standardized."""
        return (self._rows(inputs, dropout) - self.center) * self.scale

    def _rows(self, inputs: Tensor, dropout: Dropout = no_dropout) -> Tensor:
        # A power below 1 has no derivative at 0.
        return self.pooling([x.clamp(min=1e-12) for x in self.maps(inputs, dropout)])

    @torch.no_grad()
    def standardize(self, batches: Iterable[Tensor]) -> None:
        """Fix center and scale of the values by their means and variances over these inputs.

        The mean variance, added to each variance, limits the scale of rare values. Unlike batch normalization, this
        keeps the logits of a picture independent of other pictures.
        """
        rows = torch.cat([self._rows(batch) for batch in batches])
        variance = rows.var(0, correction=0)
        self.center.copy_(rows.mean(0))
        self.scale.copy_((variance + variance.mean()).clamp(min=1e-12).rsqrt())

    def forward(self, images: TensorOrArray) -> Tensor:
        logits: Tensor = self.linear(self.values(self.inputs(images)))
        return logits

    def spec(self) -> dict[str, Any]:
        """The architecture as JSON."""
        return {
            "transform": self.transform.spec(),
            "layers": self.specs,
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
            parts = [Part.build(part) for part in spec.get("layers") or spec["shapes"]]
            network = Classifier(transform, parts, classes=classes, pooling=pooling)
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
        parts = [Part(Dense(below.n, above.n), above) for below, above in itertools.pairwise(units)]
        super().__init__(transform, parts, classes=classes, pooling=pooling)
        self.machine = copy.deepcopy(machine).requires_grad_(False)
        self.from_above = nn.ModuleList(  # type: ignore[assignment]
            nn.Linear(above.n, below.n, bias=False) for below, above in itertools.pairwise(units[1:])
        )
        with torch.no_grad():
            for linear, link in zip(self.from_above, machine.links[1:], strict=False):  # labels have no row
                linear.weight.copy_(link.weight.T)

    def inputs(self, images: TensorOrArray) -> Tensor:
        """Pixels, then q of every layer above the first, in one row, `(B, n)`."""
        return self.with_inference(super().inputs(images))

    @torch.no_grad()
    def with_inference(self, visible: Tensor) -> Tensor:
        state = mean_field(self.machine, start(self.machine, self.machine.clamped_visible(visible)), clamp={0: True})
        return torch.cat([visible, *state[2 : len(self.layers) + 1]], 1)

    def maps(self, inputs: Tensor, dropout: Dropout = no_dropout) -> list[Tensor]:
        x, *inferred = inputs.split(
            [self.machine.units[0].n, *(layer[0].out_features for layer in self.layers[1:])], 1
        )
        maps: list[Tensor] = []
        for depth, layer in enumerate(self.layers):
            field = layer[0](dropout(x) if maps else x)
            if depth < len(inferred):
                field = field + self.from_above[depth](dropout(inferred[depth]))
            x = layer[1](field)
            maps.append(x)
        return maps

    def spec(self) -> dict[str, Any]:
        return {**super().spec(), "machine": self.machine.spec()}


@torch.no_grad()
def _copy(link: Link, visible: Unit, hidden: Unit, layer: nn.Module) -> None:
    """The link's weights and the hidden biases, with the 1/s^2 of Gaussian visibles multiplied in."""
    weight, bias = layer.parameters()
    weight.copy_(visible.to_links(link.weight))
    bias.copy_(hidden.bias)
