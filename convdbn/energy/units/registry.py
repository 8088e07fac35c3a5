"""The kinds of units by name, and how a kind of one's own becomes one of them."""

from typing import TypeVar

from convdbn.energy.kinds import enter
from convdbn.energy.units.base import Unit

UNITS: dict[str, type[Unit]] = {}

Kind = TypeVar("Kind", bound=type[Unit])


def register_unit(unit: Kind) -> Kind:
    """Make a kind of unit known under its `kind`, so that a saved machine can name it; a class decorator.

    UsageError where the class lacks a method that every unit has, or where its name is taken.

    >>> from convdbn.energy import Bernoulli
    >>> @register_unit
    ... class Hot(Bernoulli):
    ...     kind = "hot"
    >>> UNITS.pop("hot").__name__
    'Hot'
    """
    enter(unit, UNITS, Unit)
    return unit
