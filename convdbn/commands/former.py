"""What version 0.1.0 called things otherwise: one table, understood for one version, with a warning."""

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
"""Arguments, in Python and on the command line, and what they are called now."""
VALUES = {("method", "maximise"): "maximize"}
"""Values of arguments, and how they are spelled now."""
SIZES = {"trim": "trim"}
"""Switches that are a value of `sizes` now."""
COMMANDS = {
    ("evaluate", "likelihood", True): "likelihood",
    ("evaluate", "reconstruction", True): "reconstruction",
    ("evaluate", "classifier", "labels"): "label_error",
}
"""Values of a command's arguments that are a command of their own now."""


def present(command: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The command and its keyword arguments under their present names."""
    found: dict[str, Any] = {}
    for name, value in arguments.items():
        if (command, name, _plain(value)) in COMMANDS:
            instead = COMMANDS[command, name, _plain(value)]
            _warn(f"{command}({name}={value!r})", f"{instead}(...)")
            command = instead
        elif (command, name) in {key[:2] for key in COMMANDS} and value is False:
            _warn(f"{name}=False", "nothing")
        elif name in SIZES:
            _warn(f"{name}={value!r}", f"sizes={SIZES[name]!r}")
            found |= {"sizes": SIZES[name]} if value else {}
        else:
            now, spelled = NAMES.get(name, name), VALUES.get((name, _plain(value)), value)
            if (now, spelled) != (name, value) and (now != name or spelled is not value):
                _warn(f"{name}={value!r}", f"{now}={spelled!r}")
            found[now] = spelled
    return command, found


def present_words(words: Sequence[str]) -> list[str]:
    """The words of a command line under their present names; a model stands right after the command."""
    if not words:
        return []
    command, models, options = words[0], list[str](), list[str]()
    for name, values, written in _options(words[1:]):
        value = values[0] if values else ""
        now = written
        if NAMES.get(name) == "model":
            now, models = [], [*models, *values]
            _warn(_flag(name), "the model as the first argument")
        elif (command, name, value or True) in COMMANDS:
            now, command = [], _dashed(COMMANDS[command, name, value or True])
            _warn(" ".join(written), f"convdbn {command}")
        elif name in SIZES:
            now = ["--sizes", SIZES[name], *values]
        elif name in NAMES or (name, value) in VALUES:
            now = [_flag(NAMES.get(name, name)), *(VALUES.get((name, word), word) for word in values)]
        if now and now != written:
            _warn(" ".join(written), " ".join(now))
        options += now
    return [command, *models, *options]


def _options(words: Sequence[str]) -> Iterator[tuple[str, list[str], list[str]]]:
    """Each option: the name of its argument, the values that follow, and all of it as it is written. Values before
    any option have no name."""
    name, values, written = "", list[str](), list[str]()
    for word in words:
        if word.startswith("--") and written:
            yield name, values, written
            name, values, written = "", [], []
        if word.startswith("--"):
            option, equals, value = word.partition("=")
            name, values = option.removeprefix("--").replace("-", "_"), [value] if equals else []
        else:
            values.append(word)
        written.append(word)
    if written:
        yield name, values, written


def _flag(name: str) -> str:
    return f"--{_dashed(name)}"


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _plain(value: Any) -> Any:
    """The value where it can be looked up in a table: arrays cannot."""
    return value if isinstance(value, str | bool) else None


def _warn(former: str, now: str) -> None:
    warnings.warn(f"{former} is the spelling of version 0.1.0; write {now}", DeprecationWarning, stacklevel=4)
