"""A stack of two-layer machines, each seeing the pooled maps of the one below: RBM, DBN and convolutional DBN."""

import itertools
from collections.abc import Mapping, MutableSequence, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convdbn.energy import BlockSoftmax, BoltzmannMachine, Conv, pooled
from convdbn.errors import CheckpointError, DataError
from convdbn.images import Pipeline, build_transform, check_images
from convdbn.learning import checkpoint

MODEL_FILE = "model.safetensors"


class FeatureInfo(NamedTuple):
    """What the maps of one layer are: number of maps, pixels of the transformed picture from one position to the
    next, and side of the square of such pixels that one position sees."""

    layer: int
    channels: int
    reduction: int
    receptive_field: int


class Stack(nn.Module):
    """A transform and the machines above it, from the lowest; `picture` is the shape that layer 1 was trained on."""

    machines: MutableSequence[BoltzmannMachine]

    def __init__(self, transform: Pipeline, machines: Sequence[BoltzmannMachine], picture: Sequence[int]) -> None:
        super().__init__()
        self.transform = transform
        self.machines = nn.ModuleList(machines)  # type: ignore[assignment]
        self.picture = tuple(picture)

    def spec(self) -> dict[str, Any]:
        """The architecture as JSON."""
        return {
            "transform": self.transform.spec(),
            "machines": [machine.spec() for machine in self.machines],
            "picture": list(self.picture),
        }

    @staticmethod
    def build(spec: Mapping[str, Any]) -> "Stack":
        """The stack that `spec` describes, its parameters still zero."""
        machines = [BoltzmannMachine.build(machine) for machine in spec["machines"]]
        return Stack(build_transform(spec["transform"]), machines, spec["picture"])

    @property
    def feature_info(self) -> list[FeatureInfo]:
        """Channels, reduction and receptive field of each layer's features; 0 pixels for fully connected layers."""
        info, reduction, field = [], 1, 1
        for layer, machine in enumerate(self.machines, start=1):
            kernel, block = kernel_and_pool(machine)
            field += (kernel - 1) * reduction + (block - 1) * reduction
            reduction *= block
            dense = kernel == 0
            info.append(FeatureInfo(layer, machine.units[1].n, 0 if dense else reduction, 0 if dense else field))
        return info

    def features(self, images: Tensor, *, depth: int | None = None, trim: bool = False) -> list[Tensor]:
        """Probabilities of the pooling units, a list with one `(B, channels, h, w)` for each of the lowest `depth`
        layers (all of them by default); fully connected layers give `(B, n)`.

        `images` are `(B, c, H, W)`, bytes or floats in [0, 1]. Each picture's features depend on that picture alone.
        With `trim` the transformed pictures lose the centred border that the pooling blocks do not divide; without
        it such sizes raise `DataError`, naming the nearest legal ones.
        """
        depth = len(self.machines) if depth is None else depth
        x = self.prepare(images)
        if trim:
            x = self.trimmed(x, depth)
        self.check_size(x, depth)
        maps: list[Tensor] = []
        for layer in range(depth):
            x = self.infer(x, layer)
            maps.append(x)
        return maps

    @torch.no_grad()
    def prepare(self, images: Tensor) -> Tensor:
        """Checked and transformed pictures: the input of the first layer."""
        images = images / 255 if images.dtype == torch.uint8 else images
        return self.transform(check_images(images.to(self._device), "images"))

    @torch.no_grad()
    def infer(self, x: Tensor, depth: int) -> Tensor:
        """Pooled maps of machine `depth`, from the maps below it."""
        machine = self.machines[depth]
        x = x.flatten(1) if kernel_and_pool(machine)[0] == 0 else x
        machine.units[0].check(x, "images" if depth == 0 else f"input of layer {depth + 1}")
        hidden = machine.units[1].mean(machine.field((x, None), 1))
        # Rounding can carry the sum of a block above 1, which Bernoulli units of the next layer would refuse.
        return pooled(hidden, kernel_and_pool(machine)[1]).clamp(max=1)

    def trimmed(self, x: Tensor, depth: int) -> Tensor:
        """`x` without the border, split evenly, that the blocks of the first `depth` layers do not divide."""
        layers = [kernel_and_pool(machine) for machine in self.machines[:depth]]
        sizes = [nearest_sizes(side, layers)[0] for side in x.shape[2:]]
        top, left = ((side - size) // 2 for side, size in zip(x.shape[2:], sizes, strict=True))
        return x[:, :, top : top + sizes[0], left : left + sizes[1]] if all(sizes) else x

    def check_size(self, x: Tensor, depth: int) -> None:
        """Refuse transformed pictures whose size the first `depth` layers cannot take."""
        layers = [kernel_and_pool(machine) for machine in self.machines[:depth]]
        if x.ndim == 4:
            check_size(x.shape[2:], layers, "pictures (after the transform)")

    @property
    def _device(self) -> torch.device:
        return next((p.device for p in self.parameters()), torch.device("cpu"))


def kernel_and_pool(machine: BoltzmannMachine) -> tuple[int, int]:
    """Side of the filters (0 in a fully connected machine) and of the pooling blocks."""
    link, hidden = machine.links[0], machine.units[1]
    if not isinstance(link, Conv):
        return 0, 1
    return link.weight.shape[-1], hidden.block if isinstance(hidden, BlockSoftmax) else 1


def output_side(side: int, layers: Sequence[tuple[int, int]]) -> int | None:
    """Side of the maps that a side in pixels becomes through (kernel, pool) layers, or None where it does not fit."""
    for kernel, pool in layers:
        if kernel == 0:
            return side
        side = side - kernel + 1
        if side < 1 or side % pool:
            return None
        side //= pool
    return side


def nearest_sizes(side: int, layers: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The largest legal side up to this one (0 where none is) and the smallest above it."""
    below = next((s for s in range(side, 0, -1) if output_side(s, layers)), 0)
    return below, next(s for s in itertools.count(side + 1) if output_side(s, layers))


def check_size(size: Sequence[int], layers: Sequence[tuple[int, int]], what: str) -> None:
    """Refuse a height and width that do not divide, naming the nearest legal sizes."""
    if all(output_side(side, layers) for side in size):
        return
    height, width = (_legal(side, layers) for side in size)
    raise DataError(
        f"{what} of {size[0]}x{size[1]} do not fit filters and pooling blocks "
        f"{', '.join(f'{kernel}x{kernel} / {pool}' for kernel, pool in layers)}: nearest legal heights {height}, "
        f"widths {width}; resize or crop the pictures to one of these"
    )


def _legal(side: int, layers: Sequence[tuple[int, int]]) -> str:
    if output_side(side, layers):
        return str(side)
    below, above = nearest_sizes(side, layers)
    return f"{below} or {above}" if below else str(above)


def save(path: Path, stack: Stack, metadata: Mapping[str, Any], trainer: Mapping[str, Tensor] | None = None) -> None:
    """Write the stack with its transforms and `metadata` (recipe, data, progress), and what resuming needs."""
    tensors = stack.state_dict() | {f"trainer.{name}": value for name, value in (trainer or {}).items()}
    checkpoint.write(path, tensors, {"model": stack.spec(), **metadata})


def load(path: str | Path) -> Stack:
    """The stack in a checkpoint, or in the run folder that holds one; raises `CheckpointError` for anything else."""
    return load_run(path)[0]


def load_run(path: str | Path) -> tuple[Stack, dict[str, Any], dict[str, Tensor]]:
    """The stack, the metadata, and the trainer's tensors (none once training has finished)."""
    file = model_file(path)
    tensors, metadata = checkpoint.read(file)
    trainer = {
        name.removeprefix("trainer."): tensors.pop(name) for name in list(tensors) if name.startswith("trainer.")
    }
    try:
        stack = Stack.build(metadata["model"])
        stack.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"checkpoint={str(file)!r}: parameters do not fit the architecture ({error})"
        ) from error
    return stack.eval(), metadata, trainer


def model_file(path: str | Path) -> Path:
    """The checkpoint itself, where a run folder is given."""
    path = Path(path)
    return path / MODEL_FILE if path.is_dir() else path
