"""Recipes by name, from YAML files, and with other values for some of their fields."""

import itertools
import logging
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from convdbn.errors import UsageError
from convdbn.recipes import checks
from convdbn.recipes.fields import Setting, checked, describe, refuse_unknown
from convdbn.recipes.recipe import FORMER_NAMES, Recipe, with_new_names
from convdbn.recipes.settings import LayerSettings

log = logging.getLogger(__name__)

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


def load(recipe: str | Path | Recipe, *, layers: Sequence[LayerSettings] | None = None, **overrides: Any) -> Recipe:
    """A recipe, checked: packaged, in a YAML file, or an object, with other values for some of its fields.

    `layers` replaces all layers. `overrides` are fields as in a file: a value for all layers, or a list with one for
    each. The number of layers is that of `filters`; of a recipe for more layers the first are taken.

    Raises `UsageError` for combinations that cannot be meant, and for settings that are written without effect.
    Settings of the recipe that an override leaves without effect return to their defaults.
    """
    name = "recipe" if isinstance(recipe, Recipe) else f"recipe={str(recipe)!r}"
    table = _table(recipe) if isinstance(recipe, Recipe) else _read(recipe)
    if layers is not None:
        general = {key: value for key, value in table.items() if key not in COLUMNS}
        table = general | _columns(checked(Recipe, {"layers": layers}).layers)
    changes = _known({key: value for key, value in overrides.items() if value is not None})
    chosen = _recipe(_fitted(table, changes, name), changes)
    if problems := checks.broken(chosen):
        raise UsageError("\n".join(problems))
    return _with_effect(chosen, table, changes, name)


def _with_effect(chosen: Recipe, table: dict[str, Any], changes: dict[str, Any], name: str) -> Recipe:
    """The recipe without settings that `changes` left without effect; refuse those that were written so."""
    idle = checks.without_effect(chosen)
    before: set[str] = set()
    if idle and changes:
        before = {setting.name for setting in checks.without_effect(_recipe(_fitted(table, {}, name), {}))}
    written = [setting for setting in idle if not changes or setting.name in before | set(changes)]
    if written:
        raise UsageError("\n".join(setting.message for setting in written))
    for setting in idle:
        log.info("%s: its %s", name, setting.message.split("; ")[0])
    return checks.with_defaults(chosen, idle)


def _recipe(table: Mapping[str, Any], changes: Mapping[str, Any]) -> Recipe:
    """The recipe of a table with changes, whose lists have one value for each layer; only values are checked."""
    table, depth = {**table, **changes}, _depth({**table, **changes})
    rows = []
    for index in range(depth):
        row = {key: _at(value, index) for key, value in table.items() if key in COLUMNS}
        if "updates" in changes:
            row.pop("epochs", None)
        elif "epochs" in changes and row["epochs"] != 0:
            row.pop("updates", None)
        rows.append(LayerSettings(**row))
    return Recipe(layers=tuple(rows), **{key: value for key, value in table.items() if key not in COLUMNS})


def _at(value: Any, index: int) -> Any:
    return value[index] if isinstance(value, list) else value


def _depth(table: Mapping[str, Any]) -> int:
    """Number of layers: one for each entry of `filters`."""
    filters = table.get("filters", LayerSettings.filters)
    if filters == []:
        raise UsageError("filters=[]: names no layer; write the number of filters of at least one")
    return len(filters) if isinstance(filters, list) else 1


def _fitted(table: Mapping[str, Any], changes: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The fields of the table that stay, their lists cut to the number of layers; refuse all that are too short."""
    depth = _depth({**table, **changes})
    own = _depth(table) if "filters" in table else depth
    stay = {key: value for key, value in table.items() if key not in changes}
    lists = [(key, value) for key, value in {**stay, **changes}.items() if _has_rows(key, value)]
    wrong = [(key, value) for key, value in lists if len(value) not in ((depth,) if key in changes else (depth, own))]
    if wrong:
        key, value = wrong[0]
        needed = depth if key in changes else own
        raise UsageError(f"{key}={value}: needs one value, or {needed}, one for each entry of `filters`")
    short = [f"{key}={value + value[-1:] * (depth - own)}" for key, value in lists if len(value) < depth]
    if short:
        raise UsageError(
            f"filters={changes['filters']}: names {depth} layers, {name} has {own}; write values for all layers, "
            f"such as {', '.join(short)}"
        )
    if own > depth:
        log.info("%s: the first %d of its %d layers", name, depth, own)
    return {key: value[:depth] if _has_rows(key, value) else value for key, value in stay.items()}


def _has_rows(name: str, value: Any) -> bool:
    """Whether this is a column with a list of values, one for each layer."""
    return name in COLUMNS and isinstance(value, list)


def _table(recipe: Recipe) -> dict[str, Any]:
    """A recipe as a file would have it."""
    general = {field.name: getattr(recipe, field.name) for field in describe(Recipe) if field.name != "layers"}
    return general | _columns(recipe.layers)


def _columns(layers: Sequence[LayerSettings]) -> dict[str, Any]:
    """Layers as a file would have them: the columns that are not at their defaults, one value where all are alike."""
    columns: dict[str, Any] = {"filters": [layer.filters for layer in layers]}
    for column in describe(LayerSettings)[1:]:
        values = [getattr(layer, column.name) for layer in layers]
        if any(value != column.default for value in values):
            columns[column.name] = values[0] if all(value == values[0] for value in values) else values
    return columns


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
    return _known(table)


def _known(table: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of one source under their present names; refuse those that do not exist or exclude each other."""
    for former in FORMER_NAMES.keys() & table.keys():
        message = f"{former}: write {FORMER_NAMES[former]}; the old spelling goes with the next version"
        warnings.warn(message, DeprecationWarning, stacklevel=_levels_to_the_caller())
    columns = {key: list(value) for key, value in table.items() if key in COLUMNS and isinstance(value, tuple)}
    table = with_new_names({**table, **columns})
    refuse_unknown(table, (option.name for option in options()))
    if {"epochs", "updates"} <= table.keys():
        raise UsageError(f"epochs={table['epochs']}: stands beside updates={table['updates']}; leave out one of them")
    return table


def _levels_to_the_caller() -> int:
    """How far up the stack, as `warnings.warn` counts, the code lies that called convdbn."""
    names = (sys._getframe(level).f_globals["__name__"] for level in itertools.count(2))
    return next(level for level, name in enumerate(names, start=1) if name.split(".")[0] != "convdbn")
