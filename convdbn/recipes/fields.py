"""One declaration for each setting: default, range, help, group and needs stand in the dataclass field itself.

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
"""Largest magnitude of a number: larger ones do not fit into the tensors that they end in."""


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
    """One field of a settings class, as it was declared. `default` is `dataclasses.MISSING` where one is needed."""

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
        """The type as it is written in Python, such as `int` or `Literal['sgd', 'adam']`."""
        return type_text(self.type)

    def checked(self, value: Any) -> Any:
        """The value in the type of this setting; UsageError for another type or a number out of range."""
        if self.convert is not None:
            return self.convert(self.name, value)
        if self.type in (int, float):
            return self._number(value)
        if self.type is bool:
            if not isinstance(value, bool):
                raise UsageError(f"{self.name}={value!r}: is neither true nor false; write one of them")
            return value
        if self.type is str:
            if not isinstance(value, str | os.PathLike):
                raise UsageError(f"{self.name}={value!r}: is no text; write a name or a path")
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
            raise UsageError(f"{self.name}={value!r}: a number is needed") from None
        if not math.isfinite(number) or abs(number) > LARGEST[self.type]:
            raise UsageError(f"{self.name}={value}: must be finite, and at most {LARGEST[self.type]:g}")
        if number not in self.range:
            raise UsageError(f"{self.name}={value}: must be {self.range}")
        if self.type is int and number != int(number):
            raise UsageError(f"{self.name}={value!r}: a whole number is needed")
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
    """A dataclass field with all that is to be said of it.

    Numbers are at least `low` or `above` it, and at most `high` or `below` it. `group` gathers settings that belong
    together. `needs` are the values of other settings, or `ON`, without which this one has no effect; `help` says so.
    `convert(name, value)` checks values of types other than numbers, truth values, text and `Literal`.
    """
    limits = Range(low, above, high, below)
    if needs:
        words = (other if wanted is ON else f"{other}: {wanted}" for other, wanted in needs.items())
        help = f"{help} Needs {', '.join(words)}."
    metadata = {"help": help, "group": group, "range": limits, "needs": needs or {}, "convert": convert}
    field: T = dataclasses.field(default=default, metadata=metadata)
    return field


@dataclass(frozen=True)
class Settings:
    """Base of all settings: objects that cannot be changed, whose values are checked when they are made.

    The constructor raises `UsageError`, which names the setting, its value and the remedy. It accepts settings
    without effect; `checked` does not.
    """

    def __post_init__(self) -> None:
        for described in describe(type(self)):
            object.__setattr__(self, described.name, described.checked(getattr(self, described.name)))


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
    """Name and value of another setting that leaves this one without effect; None where it has one.

    >>> from convdbn.recipes import LayerSettings
    >>> disabled_by(LayerSettings(phase="cd"), "temperatures")
    ('phase', 'cd')
    """
    needs = next(described.needs for described in describe(type(settings)) if described.name == name)
    for other, wanted in needs.items():
        value = getattr(settings, other)
        if value in (0, False, "none") if wanted is ON else value != wanted:
            return other, value
        if (deeper := disabled_by(settings, other)) is not None:
            return deeper
    return None


def checked(cls: type[S], values: Mapping[str, Any]) -> S:
    """Settings with these values.

    Raises `UsageError` for a name that does not exist or is missing, a wrong value, and a value that has no effect.
    """
    refuse_unknown(values, (described.name for described in describe(cls)))
    for described in describe(cls):
        if described.default is MISSING and described.name not in values:
            choices = f"; choose from {', '.join(get_args(described.type))}" if get_args(described.type) else ""
            raise UsageError(f"{described.name}: has no default{choices}")
    settings = cls(**values)
    for described in describe(cls):
        name, value = described.name, getattr(settings, described.name)
        if value != described.default and (cause := disabled_by(settings, name)) is not None:
            raise UsageError(f"{name}={value!r}: has no effect with {cause[0]}={cause[1]!r}; leave it out")
    return settings


def refuse_unknown(values: Mapping[str, Any], known: Iterable[str]) -> None:
    """UsageError for names that do not exist, with the nearest one that does."""
    known = sorted(known)
    problems = []
    for name, value in values.items():
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            remedy = f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"
            problems.append(f"{name}={value!r}: no such setting; {remedy}")
    if problems:
        raise UsageError("\n".join(problems))


def type_text(kind: Any) -> str:
    """A type as it is written in Python.

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
