"""A stack of machines, each seeing the pooled maps of the one below: RBM, DBN, convolutional DBN, and DBM."""

import warnings
from collections.abc import Mapping, MutableSequence, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from convdbn.energy import BoltzmannMachine, Conv, Link, Unit
from convdbn.errors import CheckpointError, UsageError
from convdbn.images import Pipeline, build_transform
from convdbn.models.geometry import Geometry, Sizes, fitted, geometry, receptive_field
from convdbn.sampling.gibbs import mean_field, start
from convdbn.storage import checkpoint

MODEL_FILE = checkpoint.FILES["model"]
WEIGHTS = Path(__file__).parents[1] / "weights"
"""Where the models lie that come with the package."""
TRAINING = ("recipe", "data", "progress")
"""What the metadata of a run of `convdbn train` tell of it."""


@dataclass(frozen=True, eq=False)
class HiddenLayer:
    """A hidden layer: layer `position` of machine `machine`, both counted from 0, and the link below it."""

    machine: int
    position: int
    link: Link
    unit: Unit
    geometry: Geometry


class FeatureInfo(NamedTuple):
    """What the maps of one layer are: number of maps, pixels of the transformed picture from one position to the
    next, and side of the square of such pixels that one position sees (the longer side, where it is no square).

    A position is a pooling unit, which sees what all units of its block see.
    """

    layer: int
    channels: int
    reduction: int
    receptive_field: int


class Stack(nn.Module):
    """A transform and the machines above it, from the lowest; `picture` is the shape that layer 1 was trained on.

    The machines infer upwards. Downwards the same weights serve, but for the lowest layers that have a machine of
    their own in `generative`: untied by up-down learning, or the decoder of an autoencoder.
    """

    machines: MutableSequence[BoltzmannMachine]
    generative: MutableSequence[BoltzmannMachine]
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
        # Before there is any machine: device and dtype of what the first one is made from.
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
        self, images: Tensor, *, depth: int | None = None, sizes: Sizes = "error", trim: bool | None = None
    ) -> list[Tensor]:
        """Probabilities of the pooling units, a list with one `(B, channels, h, w)` for each of the lowest `depth`
        layers (all of them by default); fully connected layers give `(B, n)`.

        `images` are `(B, c, H, W)`, bytes or floats in [0, 1]. Each picture's features depend on that picture alone.
        Sizes that the pooling blocks do not divide raise `DataError`, naming the nearest legal ones; with
        `sizes="trim"` the transformed pictures lose a border, with "pad" they get one. No gradients are recorded:
        `forward` is the same with gradients. `trim` is the old spelling of `sizes`.
        """
        if trim is not None:
            sizes = "trim" if trim else "error"
            warnings.warn(f"trim={trim}: is sizes={sizes!r} now", DeprecationWarning, stacklevel=2)
        depth = len(self.layers) if depth is None else depth
        if not 1 <= depth <= len(self.layers):
            raise UsageError(f"depth={depth}: the model has layers 1 to {len(self.layers)}")
        x = fitted(self.prepare(images), self.geometry[:depth], sizes)
        maps: list[Tensor] = []
        for index in range(len(self.machines)):
            if len(maps) < depth:
                maps += self.infer(maps[-1] if maps else x, index)
        return maps[:depth]

    def prepare(self, images: Tensor) -> Tensor:
        """Checked and transformed pictures: the input of the first layer."""
        return self.transform.prepare(images, like=next(self.parameters(), self.place))

    @torch.no_grad()
    def infer(self, x: Tensor, index: int) -> list[Tensor]:
        """Pooled maps of each hidden layer of machine `index`, from the maps below it: exact where the machine is
        restricted, else by mean field."""
        machine = self.machines[index]
        x = x if isinstance(machine.links[0], Conv) else x.flatten(1)
        machine.units[0].check(x, "images" if index == 0 else f"input of machine {index + 1}")
        state = machine.clamped_visible(x)
        if len(machine.units) > 2:
            known = {layer: True for layer, given in enumerate(state) if given is not None}
            state = mean_field(machine, start(machine, state), clamp=known)
        return [
            machine.units[layer].pooling_mean(machine.field(state, layer))
            for below, layer, _ in machine.unique_links
            if below < layer
        ]

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

    @property
    def geometry(self) -> list[Geometry]:
        """Filters and blocks of every hidden layer."""
        return [layer.geometry for layer in self.layers]

    @property
    def deep(self) -> bool:
        """Whether some machine has several hidden layers, which were trained together."""
        return any(machine.deep for machine in self.machines)


def save(path: Path, stack: Stack, metadata: Mapping[str, Any], trainer: Mapping[str, Tensor] | None = None) -> None:
    """Write the stack with its transforms and `metadata` (recipe, data, progress), and what resuming needs."""
    tensors = checkpoint.with_trainer(stack.state_dict(), trainer or {})
    checkpoint.write(path, tensors, {**metadata, "model": stack.spec()})


def load(path: str | Path) -> Stack:
    """The stack in a checkpoint, in the run folder that holds one, or that comes with the package under this name.

    Raises `CheckpointError` for anything else.
    """
    return load_run(path)[0]


def load_run(path: str | Path) -> tuple[Stack, dict[str, Any], dict[str, Tensor]]:
    """The stack, the metadata, and the trainer's tensors (none once training has finished)."""
    return checkpoint.restore(model_file(path), "model", Stack.build)


def load_trained(path: str | Path) -> tuple[Stack, dict[str, Any], dict[str, Tensor]]:
    """`load_run` of a model that knows its training; CheckpointError for one that was saved without."""
    stack, metadata, trainer = load_run(path)
    if missing := [name for name in TRAINING if name not in metadata]:
        raise CheckpointError(
            f"checkpoint={str(path)!r}: a model without its training (no {', '.join(missing)} in it); give a run of "
            "`convdbn train`, or the name of a model of the package"
        )
    return stack, metadata, trainer


def model_file(path: str | Path) -> Path:
    """The checkpoint itself, where a run folder or the name of one of the package's models is given."""
    path = Path(path)
    if not path.exists() and (shipped := WEIGHTS / f"{path}.safetensors").is_file():
        return shipped
    return checkpoint.file_in(path, "model")
