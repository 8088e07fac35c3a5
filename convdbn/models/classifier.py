"""A stack as a deterministic network with a softmax on top, to be trained by backpropagation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convdbn.energy import BoltzmannMachine, Gaussian, pooled
from convdbn.errors import CheckpointError, UsageError
from convdbn.images import Pipeline, build_transform
from convdbn.learning import checkpoint
from convdbn.models.geometry import Geometry, trimmed
from convdbn.models.pooling import Pooling
from convdbn.models.stack import Stack

CLASSIFIER_FILE = "classifier.safetensors"


class Shape(NamedTuple):
    """Channels below and above a layer, its filters, (0, 0) where it is fully connected, and its pooling blocks."""

    below: int
    above: int
    kernel: tuple[int, int]
    pool: int

    @property
    def geometry(self) -> Geometry:
        return Geometry(self.kernel, self.pool)


class _PoolingProbability(torch.autograd.Function):
    """Its derivative is written out, because autograd's own passes over the maps would take most of the time."""

    @staticmethod
    def forward(ctx: Any, field: Tensor, block: int) -> Tensor:
        weights = field.clamp(max=30).exp_()  # beyond, the probability is 1 in float32
        total = pooled(weights, block)
        off = 1 / (1 + total)
        ctx.save_for_backward(weights, off)
        return total * off

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        weights, off = ctx.saved_tensors
        part = gradients[0] * off.square()
        block = weights.shape[-1] // off.shape[-1]
        return weights * part.repeat_interleave(block, -2).repeat_interleave(block, -1), None


class PoolingProbability(nn.Module):
    """Probability that a unit of the block is on, S / (1 + S) with S the sum of exp(field) (Lee et al. 2009, 3.3)."""

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block

    def forward(self, field: Tensor) -> Tensor:
        return _PoolingProbability.apply(field, self.block)


class Classifier(nn.Module):
    """Pooling probabilities layer by layer, their means over the cells of `pooling`, and a linear map to the classes.

    Pictures `(B, c, H, W)`, bytes or floats in [0, 1], become logits `(B, len(classes))`. They go through the stack's
    transform first and lose the centred border that the pooling blocks do not divide.
    """

    centre: Tensor
    scale: Tensor

    def __init__(
        self,
        transform: Pipeline,
        shapes: Sequence[Shape],
        *,
        classes: Sequence[str],
        pooling: Pooling,
    ) -> None:
        super().__init__()
        self.transform, self.shapes = transform, list(shapes)
        self.classes, self.pooling = list(classes), pooling
        self.layers = nn.ModuleList(_layer(shape) for shape in shapes)
        cells = sum(side**2 for side in pooling.grid)
        described = [shapes[layer - 1] for layer in pooling.layers]
        values = sum(shape.above * (1 if shape.kernel == (0, 0) else cells) for shape in described)
        self.register_buffer("centre", torch.zeros(values))
        self.register_buffer("scale", torch.ones(values))
        self.linear = nn.Linear(values, len(classes))
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    @staticmethod
    def from_stack(stack: Stack, classes: Sequence[str], pooling: Pooling) -> "Classifier":
        """The network whose maps are the features of the lowest layers of `stack`, as far up as `pooling` takes them.

        Its linear map is 0: every class is as likely as any other.
        """
        depth = max(pooling.layers)
        if depth > len(stack.layers):
            raise UsageError(f"layers={pooling.layers}: the model has layers 1 to {len(stack.layers)}")
        if len(stack.layers) > len(stack.machines):
            raise UsageError("checkpoint: layers trained together have no single pass upwards; evaluate them instead")
        machines = stack.machines[:depth]
        shapes = [
            Shape(machine.units[0].n, machine.units[1].n, *shape)
            for machine, shape in zip(machines, stack.geometry[:depth], strict=True)
        ]
        network = Classifier(stack.transform, shapes, classes=classes, pooling=pooling)
        network.to(machines[0].units[0].bias)
        for layer, machine in zip(network.layers, machines, strict=True):
            _copy(machine, layer)
        return network

    def maps(self, images: Tensor) -> list[Tensor]:
        """Pooling probabilities of every layer, the lowest first: those of `Stack.features`, but differentiable."""
        x = trimmed(self.transform.prepare(images, like=self.linear.bias), [shape.geometry for shape in self.shapes])
        maps = []
        for layer, shape in zip(self.layers, self.shapes, strict=True):
            x = layer(x.flatten(1) if shape.kernel == (0, 0) else x)
            maps.append(x)
        return maps

    def values(self, images: Tensor) -> Tensor:
        """What the linear map sees, `(B, n)`: means over cells, standardised."""
        return (self._rows(images) - self.centre) * self.scale

    def _rows(self, images: Tensor) -> Tensor:
        # A power below 1 has no derivative at 0.
        return self.pooling([x.clamp(min=1e-12) for x in self.maps(images)])

    @torch.no_grad()
    def standardise(self, batches: Iterable[Tensor]) -> None:
        """Centre and scale the values by those of these pictures, once; scales of rare ones stay near the common one.

        Unlike normalisation by batches this leaves each picture's logits to that picture alone.
        """
        rows = torch.cat([self._rows(batch) for batch in batches])
        variance = rows.var(0, correction=0)
        self.centre.copy_(rows.mean(0))
        self.scale.copy_((variance + variance.mean()).clamp(min=1e-12).rsqrt())

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(self.values(images))

    def spec(self) -> dict[str, Any]:
        """The architecture as JSON."""
        return {
            "transform": self.transform.spec(),
            "shapes": [list(shape) for shape in self.shapes],
            "classes": self.classes,
            "pooling": asdict(self.pooling),
        }

    @staticmethod
    def build(spec: Mapping[str, Any]) -> "Classifier":
        """The network that `spec` describes, before its parameters are loaded."""
        pooling = spec["pooling"]
        return Classifier(
            build_transform(spec["transform"]),
            [Shape(below, above, (height, width), pool) for below, above, (height, width), pool in spec["shapes"]],
            classes=spec["classes"],
            pooling=Pooling(**pooling | {name: tuple(pooling[name]) for name in ("layers", "grid")}),
        )


def save(path: Path, network: Classifier, metadata: Mapping[str, Any]) -> None:
    """Write the network with its transforms, classes and `metadata`."""
    checkpoint.write(path, network.state_dict(), {"classifier": network.spec(), **metadata})


def load(path: str | Path) -> Classifier:
    """The network in a file, or in the folder that holds one; raises `CheckpointError` for anything else."""
    file = Path(path) / CLASSIFIER_FILE if Path(path).is_dir() else Path(path)
    tensors, metadata = checkpoint.read(file)
    try:
        network = Classifier.build(metadata["classifier"])
        network.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"checkpoint={str(file)!r}: holds no classifier of this version ({error})") from error
    return network.eval()


def _layer(shape: Shape) -> nn.Sequential:
    if shape.kernel == (0, 0):
        return nn.Sequential(nn.Linear(shape.below, shape.above), nn.Sigmoid())
    return nn.Sequential(nn.Conv2d(shape.below, shape.above, shape.kernel), PoolingProbability(shape.pool))


@torch.no_grad()
def _copy(machine: BoltzmannMachine, layer: nn.Module) -> None:
    """The machine's weights and hidden biases, with the 1/s^2 of Gaussian visibles multiplied in."""
    visible, hidden = machine.units[:2]
    scale = visible.scale if isinstance(visible, Gaussian) else 1
    weight, bias = layer.parameters()
    weight.copy_(machine.links[0].weight / scale**2)
    bias.copy_(hidden.bias)
