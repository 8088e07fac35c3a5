"""The kinds of units by name, and the registration of your own."""

from typing import TypeVar

from convdbn.energy.kinds import enter
from convdbn.energy.units.base import Unit

UNITS: dict[str, type[Unit]] = {}

Kind = TypeVar("Kind", bound=type[Unit])


def register_unit(unit: Kind) -> Kind:
    """Class decorator that registers a kind of unit under its `kind`, so that a saved machine can name it.

    UsageError if the class lacks a method of units, or has the kind of another class.

    >>> from convdbn.energy import Bernoulli
    >>> @register_unit
    ... class Hot(Bernoulli):
    ...     kind = "hot"
    >>> UNITS.pop("hot").__name__
    'Hot'
    """
    enter(unit, UNITS, Unit)
    return unit
