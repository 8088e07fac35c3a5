"""Recipes by name, from YAML files, and with other values for some of their fields."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from convdbn.errors import UsageError
from convdbn.recipes.fields import Setting, checked, describe, refuse_unknown
from convdbn.recipes.settings import LayerSettings, Recipe

PACKAGED = Path(__file__).parent
COLUMNS = frozenset(column.name for column in describe(LayerSettings))
"""Fields of a recipe with a value for each layer."""


def names() -> list[str]:
    """Names of the packaged recipes."""
    return sorted(path.stem for path in PACKAGED.glob("*.yaml"))


def options() -> list[Setting]:
    """All fields of a recipe as files and `train` take them: a value for all layers, or a list with one for each."""
    columns = [
        column._replace(
            type=column.type | list[column.type],  # type: ignore[name-defined]
            help=f"{column.help} One value, or a list with one for each layer.",
        )
        for column in describe(LayerSettings)
    ]
    general = [
        field._replace(type=list[dict[str, Any]]) if field.name == "transform" else field
        for field in describe(Recipe)
        if field.name != "layers"
    ]
    return columns + general


def load(recipe: str | Path, **overrides: Any) -> Recipe:
    """The recipe of that name or in that YAML file, with `overrides` for any of its fields.

    Values for layers are one for all, or a list with one for each; the number of layers is that of `filters`.
    """
    table = _read(recipe) | {name: value for name, value in overrides.items() if value is not None}
    refuse_unknown(table, (option.name for option in options()))
    filters = table.get("filters", LayerSettings.filters)
    if filters == []:
        raise UsageError("filters=[]: names no layer; write the number of filters of at least one")
    depth = len(filters) if isinstance(filters, list) else 1
    columns = {name: _per_layer(name, value, depth) for name, value in table.items() if name in COLUMNS}
    layers = [
        checked(LayerSettings, {name: values[index] for name, values in columns.items()}) for index in range(depth)
    ]
    return checked(Recipe, {"layers": layers} | {name: table[name] for name in table if name not in COLUMNS})


def _per_layer(name: str, value: Any, depth: int) -> list[Any]:
    if isinstance(value, list) and len(value) != depth:
        raise UsageError(f"{name}={value}: needs one value, or {depth}, one for each entry of `filters`")
    return value if isinstance(value, list) else [value] * depth


def _read(recipe: str | Path) -> dict[str, Any]:
    """The fields in the file of a recipe."""
    path = PACKAGED / f"{recipe}.yaml" if str(recipe) in names() else Path(recipe)
    if not path.is_file():
        raise UsageError(f"recipe={str(recipe)!r}: no such file, nor one of the recipes {', '.join(names())}")
    try:
        table = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"recipe={str(recipe)!r}: not YAML ({error})") from error
    if not isinstance(table, Mapping):
        raise UsageError(f"recipe={str(recipe)!r}: expected a table of fields, such as `filters: [40, 40]`")
    return dict(table)
