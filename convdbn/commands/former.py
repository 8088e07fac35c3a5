"""Former names of version 0.1.0, which still work in this version, with a warning."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

NAMES = {
    "checkpoint": "model",
    "run_dir": "model",
    "colour": "color",
    "centring": "centering",
    "labelled": "labeled",
}
"""Former names of arguments, in Python and on the command line, and their present names."""
VALUES = {("method", "maximise"): "maximize"}
"""Former values of arguments and their present spelling."""
SIZES = {"trim": "trim"}
"""Former switches, and the value of `sizes` that replaces each."""
COMMANDS = {
    ("evaluate", "likelihood", True): "likelihood",
    ("evaluate", "reconstruction", True): "reconstruction",
    ("evaluate", "classifier", "labels"): "label_error",
}
"""Former values of a command's arguments, and the command that replaces each."""


def present(command: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The command and its keyword arguments under their present names."""
    present_arguments: dict[str, Any] = {}
    for name, value in arguments.items():
        if (command, name, _plain(value)) in COMMANDS:
            instead = COMMANDS[command, name, _plain(value)]
            _warn(f"{command}({name}={value!r})", f"{instead}(...)")
            command = instead
        elif (command, name) in {key[:2] for key in COMMANDS} and value is False:
            _warn(f"{name}=False", "nothing")
        elif name in SIZES:
            _warn(f"{name}={value!r}", f"sizes={SIZES[name]!r}")
            present_arguments |= {"sizes": SIZES[name]} if value else {}
        else:
            new_name, new_value = NAMES.get(name, name), VALUES.get((name, _plain(value)), value)
            if (new_name, new_value) != (name, value) and (new_name != name or new_value is not value):
                _warn(f"{name}={value!r}", f"{new_name}={new_value!r}")
            present_arguments[new_name] = new_value
    return command, present_arguments


def present_words(words: Sequence[str]) -> list[str]:
    """The words of a command line under their present names; the model comes right after the command."""
    if not words:
        return []
    command, models, options = words[0], list[str](), list[str]()
    for name, values, old_words in _options(words[1:]):
        value = values[0] if values else ""
        new_words = old_words
        if NAMES.get(name) == "model":
            new_words, models = [], [*models, *values]
            _warn(_flag(name), "the model as the first argument")
        elif (command, name, value or True) in COMMANDS:
            new_words, command = [], _with_dashes(COMMANDS[command, name, value or True])
            _warn(" ".join(old_words), f"convdbn {command}")
        elif name in SIZES:
            new_words = ["--sizes", SIZES[name], *values]
        elif name in NAMES or (name, value) in VALUES:
            new_words = [_flag(NAMES.get(name, name)), *(VALUES.get((name, word), word) for word in values)]
        if new_words and new_words != old_words:
            _warn(" ".join(old_words), " ".join(new_words))
        options += new_words
    return [command, *models, *options]


def _options(words: Sequence[str]) -> Iterator[tuple[str, list[str], list[str]]]:
    """Each option: the name of its argument, its values, and all its words. Values before any option have the name
    ""."""
    name, values, own_words = "", list[str](), list[str]()
    for word in words:
        if word.startswith("--") and own_words:
            yield name, values, own_words
            name, values, own_words = "", [], []
        if word.startswith("--"):
            option, equals, value = word.partition("=")
            name, values = option.removeprefix("--").replace("-", "_"), [value] if equals else []
        else:
            values.append(word)
        own_words.append(word)
    if own_words:
        yield name, values, own_words


def _flag(name: str) -> str:
    return f"--{_with_dashes(name)}"


def _with_dashes(name: str) -> str:
    return name.replace("_", "-")


def _plain(value: Any) -> Any:
    """The value if a table can have it; None for others, such as arrays, which have no hash."""
    return value if isinstance(value, str | bool) else None


def _warn(old: str, new: str) -> None:
    warnings.warn(f"{old} is the spelling of version 0.1.0; write {new}", DeprecationWarning, stacklevel=4)
