"""A recipe: its layers, the transform of the pictures, and what holds for the whole run."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from convdbn.errors import UsageError
from convdbn.recipes.fields import Settings, describe, disabled_by, refuse_unknown, setting
from convdbn.recipes.settings import SHAPE, LayerSettings

FORMER_NAMES = {"colour": "color", "centring": "centering", "labelled": "labeled"}
"""Names of fields in version 0.1.0, and their present names."""


def with_new_names(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields, with present names in place of those of version 0.1.0."""
    return {FORMER_NAMES.get(name, name): value for name, value in fields.items()}


def recipe_with_new_names(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe as JSON with present names, for the whole run and in every layer."""
    return {
        name: [with_new_names(layer) for layer in value] if name == "layers" else value
        for name, value in with_new_names(recipe).items()
    }


def _steps(name: str, value: Any) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(step, Mapping) and "kind" in step for step in value):
        raise UsageError(f"{name}={value!r}: is no list of steps; write one such as [{{kind: pad, size: 2}}]")
    return tuple(value)


def _layers(name: str, value: Any) -> tuple[LayerSettings, ...]:
    if not isinstance(value, list | tuple) or not value or not all(isinstance(x, LayerSettings) for x in value):
        raise UsageError(f"{name}={value!r}: is no list of layers; write one such as [LayerSettings(filters=40)]")
    return tuple(value)


@dataclass(frozen=True)
class Recipe(Settings):
    """A stack of layers, the transform of its pictures, and the seed of everything random."""

    transform: tuple[Mapping[str, Any], ...] = setting(
        (), convert=_steps, help="Transform of the pictures, a list of steps such as [{kind: pad, size: 2}]."
    )
    layers: tuple[LayerSettings, ...] = setting(
        (LayerSettings(),), convert=_layers, help="Settings of each layer, from the lowest."
    )
    initial: str = setting(
        "",
        help="Trained model (run folder, file, or name of a packaged model) whose layers become the lowest of this "
        "one. Greedy training continues above them; joint training starts from them.",
    )
    doubled: bool = setting(
        False,
        help="Pretrain a deep Boltzmann machine (Salakhutdinov and Hinton 2009): train layers one after the other, "
        "the lowest with two copies of its input, the highest with two copies of itself, then join them into one "
        "machine.",
    )
    joint: bool = setting(
        False,
        help="Train all layers together as one deep Boltzmann machine, with the settings of the first layer.",
    )
    color: bool = setting(False, help="Take pictures in color, with three channels; otherwise they become gray.")
    mirror: bool = setting(False, help="Add the mirror image of every picture.")
    seed: int = setting(0, low=0, help="Seed of everything random in the run.")
    held_out: int = setting(
        200,
        low=0,
        help="Number of pictures to leave out of training, to compare their free energy with that of the others; at "
        "most a tenth of a folder.",
    )
    sizes: Literal["error", "trim", "pad"] = setting(
        "error",
        help="Pictures of a size that the pooling blocks do not divide: refuse them (error), cut their border "
        "(trim), or widen it (pad).",
    )
    log_every: int = setting(20, low=1, help="Updates from one row of metrics to the next.")

    @property
    def machines(self) -> tuple[LayerSettings, ...]:
        """Settings of each machine in training, with defaults for settings without effect. Every layer is a machine;
        joint training has a single one, with the settings of the first layer and the labels of the highest."""
        layers = self.effective().layers
        if not self.joint:
            return layers
        return (dataclasses.replace(layers[0], labels=layers[-1].labels),)

    def disabled_by(self, layer: int, name: str) -> tuple[str, Any] | None:
        """Name and value of what leaves a setting of a layer (from 1) without effect; None if it has an effect.

        Joint training gives all layers the settings of the first, except for `SHAPE`.
        """
        if self.joint and layer > 1 and name not in SHAPE:
            return "joint", True
        if name == "mean_field" and not self.joint:
            return "joint", False
        return disabled_by(self.layers[layer - 1], name)

    def effective(self) -> "Recipe":
        """The same training, with the default for every setting of a layer that has no effect there."""
        layers = []
        for number, layer in enumerate(self.layers, start=1):
            idle = [column for column in describe(LayerSettings) if self.disabled_by(number, column.name)]
            layers.append(dataclasses.replace(layer, **{column.name: column.default for column in idle}))
        return dataclasses.replace(self, layers=tuple(layers))

    def resolved(self, pictures: int) -> "Recipe":
        """The recipe with `updates` in place of `epochs`, for a number of training pictures; `mirror` doubles it."""

        def counted(layer: LayerSettings) -> LayerSettings:
            presentations = layer.epochs * pictures * (2 if self.mirror else 1)
            return dataclasses.replace(layer, epochs=0, updates=max(1, round(presentations / layer.batch)))

        layers = tuple(counted(layer) if layer.epochs else layer for layer in self.layers)
        return dataclasses.replace(self, layers=layers)

    def differences(self) -> list[str]:
        """One line for each layer: the settings that have an effect and differ from their defaults."""
        return [
            ", ".join(
                f"{column.name}={getattr(layer, column.name)}"
                for column in describe(LayerSettings)
                if getattr(layer, column.name) != column.default
            )
            for layer in self.effective().layers
        ]

    def as_dict(self) -> dict[str, Any]:
        """The recipe as JSON: `layers` is a list with the fields of each."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_dict(fields: Mapping[str, Any]) -> "Recipe":
        """The inverse of `as_dict`; it also reads what earlier versions wrote."""
        fields = recipe_with_new_names(fields)
        rows = fields["layers"]
        for cls, values in ((Recipe, fields), *((LayerSettings, row) for row in rows)):
            refuse_unknown(values, (field.name for field in describe(cls)))
        return Recipe(**{**fields, "layers": tuple(LayerSettings(**row) for row in rows)})
