"""The command line: results on stdout, the log on stderr, an exit code for each kind of thing that goes wrong."""

import inspect
import json
import logging
import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import yaml
from jsonargparse import ArgumentParser

from convdbn import __version__, recipes
from convdbn.commands.inspect import inspect as inspect_model
from convdbn.errors import Diverged, Interrupted, UsageError

log = logging.getLogger("convdbn")

COMMANDS = (
    "demo",
    "train",
    "features",
    "evaluate",
    "finetune",
    "refine",
    "visualize",
    "plot",
    "report",
    "sample",
    "complete",
    "inspect",
)
VERBS: dict[str, Callable[..., Any]] = {
    name: getattr(import_module(f"convdbn.commands.{name}"), name) for name in COMMANDS
}
# What a Python caller may leave out, but a command without it would lose its result.
REQUIRED = {
    "train": {"data", "output_dir"},
    "features": {"output"},
    "finetune": {"output_dir"},
    "refine": {"output_dir"},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code: 0 ok, 2 usage, 3 data, 4 checkpoint, 5 diverged, 75 interrupted but saved."""
    options = _parser().parse_args(arguments)
    verb = options.subcommand
    chosen = options[verb].as_dict()
    as_json = chosen.pop("json")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        result = _summary(verb, chosen, VERBS[verb](**chosen))
    except (ValueError, OSError, Diverged, Interrupted) as error:
        log.error("convdbn %s: %s", verb, error)
        return getattr(error, "exit_code", UsageError.exit_code)
    print(json.dumps(result, indent=2) if as_json else yaml.safe_dump(result, sort_keys=False).rstrip())
    return 0


def _summary(verb: str, chosen: dict[str, Any], result: Any) -> dict[str, Any]:
    """What a command prints of what its function returns."""
    if verb in ("train", "refine"):
        return inspect_model(chosen["output_dir"])
    if verb == "features":
        return {"output": str(chosen["output"]), "shape": list(result.shape)}
    return {"output": str(result)} if verb in ("visualize", "plot", "sample") else result


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
        _add_arguments(command, function, REQUIRED.get(verb, set()))
        if verb == "train":
            _add_recipe_fields(command)
        command.add_argument("--json", action="store_true", help="print the result as JSON")
        commands.add_subcommand(verb, command, help=purpose)
    return parser


def _add_arguments(command: ArgumentParser, function: Callable[..., Any], required: set[str]) -> None:
    """One option for each keyword of the function, explained by its docstring; its positionals stay positional."""
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        explained = re.search(rf"^ {{8}}{name}: (.*(?:\n {{12}}.*)*)", function.__doc__ or "", re.MULTILINE)
        options: dict[str, Any] = {"help": " ".join(explained[1].split()) if explained else ""}
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            command.add_argument(name, type=str, **options)
        elif parameter.annotation is bool:
            command.add_argument(_flag(name), action="store_true", **options)
        elif name in required or parameter.default is parameter.empty:
            command.add_argument(_flag(name), type=str, required=True, **options)
        else:
            command.add_argument(_flag(name), type=parameter.annotation, default=parameter.default, **options)


def _add_recipe_fields(command: ArgumentParser) -> None:
    """Every field of a recipe as an option that overrides it."""
    groups = {}
    for option in recipes.options():
        if option.group not in groups:
            groups[option.group] = command.add_argument_group(f"recipe, {option.group}")
        groups[option.group].add_argument(_flag(option.name), type=option.type | None, default=None, help=option.help)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
