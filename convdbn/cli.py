"""The command line: results on stdout, the log on stderr, an exit code for each kind of error."""

import inspect
import json
import logging
import sys
from argparse import SUPPRESS
from collections.abc import Callable, Sequence
from dataclasses import MISSING
from importlib import import_module
from typing import Any

import yaml
from jsonargparse import ArgumentParser

from convdbn import __version__, recipes
from convdbn.commands import COMMANDS
from convdbn.commands.former import present_words
from convdbn.commands.inspect import inspect as inspect_model
from convdbn.commands.options import helped
from convdbn.errors import Diverged, Interrupted, UsageError
from convdbn.recipes import Setting
from convdbn.recipes.tuning import FineTuning, Refinement

log = logging.getLogger("convdbn")

VERBS: dict[str, Callable[..., Any]] = {
    name.replace("_", "-"): getattr(import_module(f"convdbn.commands.{name}"), name) for name in COMMANDS
}
"""The commands by their names on the command line."""
REQUIRED = {
    "train": {"data", "output_dir"},
    "features": {"output"},
    "finetune": {"output_dir"},
    "refine": {"output_dir"},
    "visualize": {"output"},
    "plot": {"output"},
    "complete": {"output"},
}
"""Options that are optional in Python, but without which a command in the shell would lose its result."""
IN_PYTHON = {"train": {"layers", "callbacks", "optimizer", "penalty", "phase", "verbose"}}
"""Arguments for Python only: objects and functions."""
SETTINGS: dict[str, Sequence[Setting]] = {
    "train": recipes.options(),
    "finetune": recipes.describe(FineTuning),
    "refine": recipes.describe(Refinement),
}
"""The settings that a command takes in addition to its own options."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 ok, 2 usage, 3 data, 4 checkpoint, 5 diverged, 75 interrupted but
    saved."""
    options = _parser().parse_args(present_words(sys.argv[1:] if arguments is None else arguments))
    verb = options.subcommand
    arguments_of_verb = {name: value for name, value in options[verb].as_dict().items() if value is not None}
    as_json = arguments_of_verb.pop("json")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        result = _summary(arguments_of_verb, VERBS[verb](**arguments_of_verb))
    except (ValueError, OSError, Diverged, Interrupted) as error:
        log.error("convdbn %s: %s", verb, error)
        return getattr(error, "exit_code", UsageError.exit_code)
    print(json.dumps(result, indent=2) if as_json else yaml.safe_dump(result, sort_keys=False).rstrip())
    return 0


def _summary(options: dict[str, Any], result: Any) -> dict[str, Any]:
    """The output of a command: the result itself, or a description of the file or run."""
    if isinstance(result, dict):
        return result
    if "output_dir" in options:
        return inspect_model(options["output_dir"])
    shape = {"shape": list(result.shape)} if hasattr(result, "shape") else {}
    return {"output": str(options["output"]), **shape}


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="convdbn",
        description="Image features learned without labels, layer by layer.",
        version=__version__,
    )
    commands = parser.add_subcommands(title="commands", metavar="COMMAND")
    for verb, function in VERBS.items():
        purpose = (function.__doc__ or "").splitlines()[0]
        command = ArgumentParser(description=purpose)
        _add_arguments(command, function, REQUIRED.get(verb, set()), IN_PYTHON.get(verb, set()))
        _add_settings(command, function, SETTINGS.get(verb, ()))
        command.add_argument("--json", action="store_true", help="print the result as JSON")
        commands.add_subcommand(verb, command, help=purpose)
    return parser


def _add_arguments(
    command: ArgumentParser, function: Callable[..., Any], required: set[str], in_python: set[str]
) -> None:
    """Add an option for each argument of the function, with its help from the docstring; the model has no flag."""
    help_of = helped(function.__doc__ or "")
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD or name in in_python:
            continue
        kind = str if isinstance(parameter.annotation, str) else parameter.annotation  # an object by its name or path
        options: dict[str, Any] = {"help": help_of.get(name, "")}
        if name == "model":
            command.add_argument(name, type=str, **options)
        elif kind is bool:
            command.add_argument(_flag(name), action="store_true", **options)
        elif name in required or parameter.default is parameter.empty:
            command.add_argument(_flag(name), type=str, required=True, **options)  # the function checks the value
        else:
            command.add_argument(_flag(name), type=kind | None, default=parameter.default, **options)


def _add_settings(command: ArgumentParser, function: Callable[..., Any], settings: Sequence[Setting]) -> None:
    """Add an option for each setting that is not yet an argument of the function, in the group of its declaration."""
    own = inspect.signature(function).parameters
    groups: dict[str, Any] = {}
    for option in settings:
        if option.name in own and option.name not in IN_PYTHON["train"]:
            continue
        if option.group not in groups:
            groups[option.group] = command.add_argument_group(f"settings, {option.group}")
        switch = {"nargs": "?", "const": True} if option.type is bool else {}
        # A setting that nobody wrote does not reach the command, which knows the default itself.
        groups[option.group].add_argument(
            _flag(option.name),
            type=option.type | None,
            default=SUPPRESS,
            help=_with_default(option, function.__name__),
            **switch,
        )


def _with_default(option: Setting, verb: str) -> str:
    """The help of a setting and its default, which is the recipe's in the training of a recipe."""
    if option.default in (MISSING, "", ()):
        return option.help
    default = str(option.default).lower() if isinstance(option.default, bool) else option.default
    return f"{option.help} Default: {'that of the recipe, or ' if verb == 'train' else ''}{default}."


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
