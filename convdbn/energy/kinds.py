"""Parts of a machine by their kind, the name that files use."""

import inspect
from typing import Any

from convdbn.errors import UsageError


def enter(part: Any, kinds: dict[str, Any], base: type) -> None:
    """Enter a class into `kinds` under its `kind`.

    A class of the same module and name replaces the former one, for cells of a notebook that run again. UsageError if
    the class does not derive from `base`, lacks a method or a kind, or has the kind of another class.
    """
    if not isinstance(part, type) or not issubclass(part, base):
        argument = base.__name__.lower()
        raise UsageError(
            f"{argument}={part!r}: is no class of {argument}s; derive a class from convdbn.energy.{base.__name__}"
        )
    kind = getattr(part, "kind", None)
    if not isinstance(kind, str):
        raise UsageError(f"{part.__name__}.kind={kind!r}: files know a class by its kind; give it a name")
    if inspect.isabstract(part):
        missing = ", ".join(sorted(getattr(part, "__abstractmethods__", ())))
        raise UsageError(f"{part.__name__}: has no {missing}; define them before you register the class")
    other = kinds.get(kind, part)
    if (other.__module__, other.__qualname__) != (part.__module__, part.__qualname__):
        raise UsageError(f"{part.__name__}.kind={kind!r}: is the kind of {other.__name__}; take another name")
    kinds[kind] = part


def make(spec: dict[str, Any], kinds: dict[str, Any]) -> Any:
    """The part that `spec` describes; UsageError for a kind that nobody registered, or that takes other arguments."""
    arguments = {key: tuple(v) if isinstance(v, list) else v for key, v in spec.items() if key != "kind"}
    if spec["kind"] not in kinds:
        raise UsageError(
            f"kind={spec['kind']!r}: is not registered; choose from {', '.join(kinds)}, or import its module"
        )
    kind = kinds[spec["kind"]]
    try:
        inspect.signature(kind).bind(**arguments)
    except TypeError as error:
        raise UsageError(
            f"kind={spec['kind']!r}: {kind.__name__} takes other arguments ({error}); let its spec name them all"
        ) from error
    return kind(**arguments)
