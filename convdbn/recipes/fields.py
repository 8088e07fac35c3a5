"""One declaration for each setting: its dataclass field has the default, range, help, group and needs.

    class Walk(Settings):
        steps: int = setting(10, low=1, help="Number of steps.")

Everything else follows from the declaration: the checks of the constructor, `describe` for the command line and the
documentation, and `checked` for values that a user wrote.
"""

import dataclasses
import difflib
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from convdbn.errors import UsageError

T = TypeVar("T")
S = TypeVar("S", bound="Settings")

ON = object()
"""In `needs`: any value but 0, False and "none"."""
LARGEST = {int: 1e12, float: 1e36}
"""Largest magnitude of a number: larger ones do not fit into tensors."""


class Range(NamedTuple):
    """The numbers that a setting may have; a bound that is None does not exist."""

    low: float | None = None
    above: float | None = None
    high: float | None = None
    below: float | None = None

    def __contains__(self, number: object) -> bool:
        assert isinstance(number, int | float)
        return not (
            (self.low is not None and number < self.low)
            or (self.above is not None and number <= self.above)
            or (self.high is not None and number > self.high)
            or (self.below is not None and number >= self.below)
        )

    def __str__(self) -> str:
        words = {"at least": self.low, "above": self.above, "at most": self.high, "below": self.below}
        return " and ".join(f"{word} {bound:g}" for word, bound in words.items() if bound is not None)


class Setting(NamedTuple):
    """One field of a settings class. `default` is `dataclasses.MISSING` if the user must give a value."""

    name: str
    type: Any
    default: Any
    help: str
    group: str
    range: Range
    needs: Mapping[str, Any]
    convert: Callable[[str, Any], Any] | None

    @property
    def type_text(self) -> str:
        """The type in Python, such as `int` or `Literal['sgd', 'adam']`."""
        return type_text(self.type)

    def checked(self, value: Any) -> Any:
        """The value in the type of this setting; UsageError for another type or a number out of range."""
        if self.convert is not None:
            return self.convert(self.name, value)
        if self.type in (int, float):
            return self._number(value)
        if self.type is bool:
            if not isinstance(value, bool):
                raise UsageError(f"{self.name}={value!r}: is neither true nor false; write one of these")
            return value
        if self.type is str:
            if not isinstance(value, str | os.PathLike):
                raise UsageError(f"{self.name}={value!r}: is not text; write a name or a path")
            return str(value)
        choices = get_args(self.type)
        if not isinstance(value, str) or value not in choices:
            raise UsageError(f"{self.name}={value!r}: choose from {', '.join(choices)}")
        return value

    def _number(self, value: Any) -> int | float:
        try:
            if isinstance(value, bool):
                raise TypeError
            number = float(value)  # YAML 1.1 reads 1e-3 as text
        except (TypeError, ValueError):
            raise UsageError(f"{self.name}={value!r}: is not a number; write one") from None
        if not math.isfinite(number) or abs(number) > LARGEST[self.type]:
            raise UsageError(f"{self.name}={value}: must be finite, and at most {LARGEST[self.type]:g}")
        if number not in self.range:
            raise UsageError(f"{self.name}={value}: must be {self.range}")
        if self.type is int and number != int(number):
            raise UsageError(f"{self.name}={value!r}: is not a whole number; write one")
        return int(number) if self.type is int else number


def setting(
    default: T = MISSING,  # type: ignore[assignment]
    *,
    help: str,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    below: float | None = None,
    group: str = "general",
    needs: Mapping[str, Any] | None = None,
    convert: Callable[[str, Any], T] | None = None,
) -> T:
    """A dataclass field with the whole declaration of a setting.

    Numbers are at least `low` or greater than `above`, and at most `high` or less than `below`. `group` is a heading
    for settings that belong together. `needs` has the values (or `ON`) that other settings must have, so that this
    one has an effect; the help says so. `convert(name, value)` checks values of types other than numbers, truth
    values, text and `Literal`.
    """
    limits = Range(low, above, high, below)
    if needs:
        words = (other if need is ON else f"{other}: {need}" for other, need in needs.items())
        help = f"{help} Needs {', '.join(words)}."
    metadata = {"help": help, "group": group, "range": limits, "needs": needs or {}, "convert": convert}
    field: T = dataclasses.field(default=default, metadata=metadata)
    return field


@dataclass(frozen=True)
class Settings:
    """Base class of settings: immutable objects, whose constructor checks the values.

    The constructor raises `UsageError`, which names the setting, its value and the remedy. It accepts settings
    without effect; `checked` does not.
    """

    def __post_init__(self) -> None:
        for field in describe(type(self)):
            object.__setattr__(self, field.name, field.checked(getattr(self, field.name)))


def describe(cls: type[Settings]) -> tuple[Setting, ...]:
    """All settings of a class, in the order of their declaration.

    >>> from convdbn.recipes import LayerSettings
    >>> first = describe(LayerSettings)[0]
    >>> first.name, first.type_text, first.default
    ('filters', 'int', 64)
    """
    if cls not in _DESCRIBED:
        types = get_type_hints(cls)
        _DESCRIBED[cls] = tuple(
            Setting(field.name, types[field.name], field.default, **field.metadata)
            for field in dataclasses.fields(cls)
        )
    return _DESCRIBED[cls]


_DESCRIBED: dict[type[Settings], tuple[Setting, ...]] = {}


def disabled_by(settings: Settings, name: str) -> tuple[str, Any] | None:
    """Name and value of another setting that leaves this one without effect; None if it has an effect.

    >>> from convdbn.recipes import LayerSettings
    >>> disabled_by(LayerSettings(phase="cd"), "temperatures")
    ('phase', 'cd')
    """
    needs = next(field.needs for field in describe(type(settings)) if field.name == name)
    for other, need in needs.items():
        value = getattr(settings, other)
        if value in (0, False, "none") if need is ON else value != need:
            return other, value
        if (deeper := disabled_by(settings, other)) is not None:
            return deeper
    return None


def checked(cls: type[S], values: Mapping[str, Any]) -> S:
    """Settings with these values.

    Raises `UsageError` for a name that does not exist or is missing, a wrong value, and a value that has no effect.
    """
    refuse_unknown(values, (field.name for field in describe(cls)))
    for field in describe(cls):
        if field.default is MISSING and field.name not in values:
            choices = get_args(field.type)
            remedy = f"choose from {', '.join(choices)}" if choices else "write a value"
            raise UsageError(f"{field.name}: has no default; {remedy}")
    settings = cls(**values)
    for field in describe(cls):
        name, value = field.name, getattr(settings, field.name)
        if value != field.default and (cause := disabled_by(settings, name)) is not None:
            raise UsageError(f"{name}={value!r}: has no effect with {cause[0]}={cause[1]!r}; leave it out")
    return settings


def refuse_unknown(values: Mapping[str, Any], names: Iterable[str]) -> None:
    """UsageError for keys of `values` that are not among `names`, with the nearest name."""
    names = sorted(names)
    problems = []
    for name, value in values.items():
        if name not in names:
            near = difflib.get_close_matches(str(name), names, 1)
            remedy = f"did you mean {near[0]}?" if near else f"choose from {', '.join(names)}"
            problems.append(f"{name}={value!r}: no such setting; {remedy}")
    if problems:
        raise UsageError("\n".join(problems))


def type_text(kind: Any) -> str:
    """A type in Python's notation.

    >>> type_text(int | list[int])
    'int | list[int]'
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if origin in (Union, UnionType):
        return " | ".join(map(type_text, arguments))
    if arguments:
        return f"{origin.__name__}[{', '.join(map(type_text, arguments))}]"
    return {NoneType: "None", Ellipsis: "..."}.get(kind) or str(kind.__name__)
