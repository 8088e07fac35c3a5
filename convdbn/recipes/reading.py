"""Recipes from the package, YAML files and objects, with other values for some of their fields."""

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
    """A checked recipe, from the package, a YAML file or an object, with other values for some fields.

    `layers` replaces all layers. `overrides` are fields as in a file: a value for all layers, or a list with one for
    each. `filters` decides the number of layers; a recipe with more layers gives its lowest ones.

    Raises `UsageError` for settings that contradict each other, and for a recipe or an override that sets something
    without effect. Settings of the recipe that lose their effect through an override return to their defaults.
    """
    name = "recipe" if isinstance(recipe, Recipe) else f"recipe={str(recipe)!r}"
    table = _table(recipe) if isinstance(recipe, Recipe) else _read(recipe)
    if layers is not None:
        general = {key: value for key, value in table.items() if key not in COLUMNS}
        table = general | _columns(checked(Recipe, {"layers": layers}).layers)
    changes = _checked_fields({key: value for key, value in overrides.items() if value is not None})
    result = _recipe(_fitted(table, changes, name), changes)
    if problems := checks.broken(result):
        source = recipe if layers is None else layers
        raise UsageError("\n".join(with_source(problem, source, changes) for problem in problems))
    return _with_effect(result, table, changes, name)


def with_source(problem: str, recipe: object, changes: Mapping[str, Any]) -> str:
    """A message about a field, with the name or path of the recipe that sets the field.

    Nothing is added for a field in `changes`, nor for a recipe that is an object.
    """
    field = problem.partition("=")[0]
    known = any(field == option.name for option in options())
    if not known or field in changes or not isinstance(recipe, str | Path):
        return problem
    return f"{problem} ({field} is that of recipe={str(recipe)!r})"


def _with_effect(recipe: Recipe, table: dict[str, Any], changes: dict[str, Any], name: str) -> Recipe:
    """The recipe without settings that lost their effect through `changes`; UsageError for others without effect."""
    idle = checks.without_effect(recipe)
    before: set[str] = set()
    if idle and changes:
        before = {setting.name for setting in checks.without_effect(_recipe(_fitted(table, {}, name), {}))}
    mistakes = [setting for setting in idle if not changes or setting.name in before | set(changes)]
    if mistakes:
        raise UsageError("\n".join(setting.message for setting in mistakes))
    for setting in idle:
        log.info("%s: %s, so the default replaces it", name, setting.message.split("; ")[0])
    return checks.with_defaults(recipe, idle)


def _recipe(table: Mapping[str, Any], changes: Mapping[str, Any]) -> Recipe:
    """The recipe of a table with changes, whose lists have one value for each layer; it checks only single values."""
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
        raise UsageError("filters=[]: has no layer; write the number of filters of at least one")
    return len(filters) if isinstance(filters, list) else 1


def _fitted(table: Mapping[str, Any], changes: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Fields of the table that `changes` do not replace, with lists cut to the number of layers; UsageError for lists
    of another length."""
    depth = _depth({**table, **changes})
    own_depth = _depth(table) if "filters" in table else depth
    rest = {key: value for key, value in table.items() if key not in changes}
    lists = [(key, value) for key, value in {**rest, **changes}.items() if _has_rows(key, value)]
    wrong = [
        (key, value) for key, value in lists if len(value) not in ((depth,) if key in changes else (depth, own_depth))
    ]
    if wrong:
        key, value = wrong[0]
        count = depth if key in changes else own_depth
        raise UsageError(f"{key}={value}: is not as long as `filters`; write one value, or a list of {count}")
    longer = [f"{key}={value + value[-1:] * (depth - own_depth)}" for key, value in lists if len(value) < depth]
    if longer:
        raise UsageError(
            f"filters={changes['filters']}: has {depth} layers, {name} only {own_depth}; write values for all "
            f"layers, such as {', '.join(longer)}"
        )
    if own_depth > depth:
        log.info("%s: takes the lowest %d of its %d layers", name, depth, own_depth)
    return {key: value[:depth] if _has_rows(key, value) else value for key, value in rest.items()}


def _has_rows(name: str, value: Any) -> bool:
    """Whether this is a column with a list of values, one for each layer."""
    return name in COLUMNS and isinstance(value, list)


def _table(recipe: Recipe) -> dict[str, Any]:
    """The fields of a recipe, as in a file."""
    general = {field.name: getattr(recipe, field.name) for field in describe(Recipe) if field.name != "layers"}
    return general | _columns(recipe.layers)


def _columns(layers: Sequence[LayerSettings]) -> dict[str, Any]:
    """The columns of layers that differ from their defaults, as in a file: one value if all layers have the same."""
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
        raise UsageError(
            f"recipe={str(recipe)!r}: no such file; give a YAML file, or one of the recipes {', '.join(names())}"
        )
    try:
        table = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"recipe={str(recipe)!r}: is not YAML ({error}); correct the file") from error
    if not isinstance(table, Mapping):
        raise UsageError(f"recipe={str(recipe)!r}: has no table of fields; write lines such as `filters: [40, 40]`")
    return _checked_fields(table)


def _checked_fields(table: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a file or call under their present names; UsageError for those that do not exist or exclude each
    other."""
    for former in FORMER_NAMES.keys() & table.keys():
        message = f"{former} is the spelling of version 0.1.0; write {FORMER_NAMES[former]}"
        warnings.warn(message, DeprecationWarning, stacklevel=_levels_to_the_caller())
    columns = {key: list(value) for key, value in table.items() if key in COLUMNS and isinstance(value, tuple)}
    table = with_new_names({**table, **columns})
    refuse_unknown(table, (option.name for option in options()))
    if {"epochs", "updates"} <= table.keys():
        raise UsageError(f"epochs={table['epochs']}: excludes updates={table['updates']}; leave out one of them")
    return table


def _levels_to_the_caller() -> int:
    """The `stacklevel` of `warnings.warn` that points to the code that called convdbn."""
    names = (sys._getframe(level).f_globals["__name__"] for level in itertools.count(2))
    return next(level for level, name in enumerate(names, start=1) if name.split(".")[0] != "convdbn")
