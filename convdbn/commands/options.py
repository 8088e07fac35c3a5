"""Common parts of the commands: shared options, checks before any work, devices, signals."""

import contextlib
import difflib
import functools
import inspect
import json
import logging
import os
import re
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar, get_args

from convdbn.commands import former
from convdbn.errors import UsageError

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

ValueRange = tuple[float, float] | Literal["raw"] | None
Split = Literal["train", "test"]

HELP = {
    "model": "name of a model of the package, path of a run folder or a file, or, in Python, the model itself.",
    "data": "`digits`, `photos`, `mnist`, `fashion-mnist`, `caltech101`, or a folder of pictures; in Python also an "
    "array, a tensor, a torch Dataset or DataLoader, Images, or a pair (pictures, labels).",
    "output_dir": "folder for the result; without one it stays in memory.",
    "overwrite": "replace an earlier run in the folder.",
    "resume": "continue the run in the folder; all other options must be the same.",
    "split": "train or test, for data sets that have both.",
    "value_range": "lowest and highest value of pixels in memory, such as [0, 4095], or raw for values that stay as "
    "they are; without it pixels are bytes, 16-bit integers, or floats from 0 to 1.",
    "data_root": "folder of the torchvision data sets.",
    "download": "download a missing torchvision data set.",
    "seed": "seed of all random numbers.",
    "device": "auto, cpu, cuda, ...; with auto a model in memory stays where it is.",
}
"""The help of the options that many commands have."""
FIGURE_FORMATS = (".png", ".pdf", ".svg")


def command(function: Callable[P, T]) -> Callable[P, T]:
    """Decorator of a command: adds the shared options to its docstring, accepts former names, and refuses wrong
    arguments by name."""
    signature = inspect.signature(function)
    name = function.__name__

    @functools.wraps(function)
    def called(*arguments: P.args, **named: P.kwargs) -> T:
        present_name, options = former.present(name, dict(named))
        if present_name != name:
            successor: Callable[..., T] = getattr(import_module(f"convdbn.commands.{present_name}"), present_name)
            return successor(*arguments, **options)
        _check_names(name, signature, len(arguments), options)
        return function(*arguments, **options)

    called.__doc__ = explained(function)
    return called


def explained(function: Callable[..., Any]) -> str:
    """The docstring with the help of all shared options in the signature: the model and the data before the command's
    own arguments, the others after them."""
    text, _, rest = inspect.cleandoc(function.__doc__ or "").partition("\n\nArgs:\n")
    own, _, after = rest.partition("\n\n")
    shared = [name for name in inspect.signature(function).parameters if name in HELP and name not in helped(own)]
    lines = {name: f"    {name}: {HELP[name]}" for name in shared}
    first = [lines.pop(name) for name in ("model", "data") if name in lines]
    arguments = "\n".join(filter(None, [*first, own, *lines.values()]))
    return "\n\n".join(filter(None, [text, arguments and f"Args:\n{arguments}", after]))


def helped(docstring: str) -> dict[str, str]:
    """The help of each argument in a docstring."""
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", docstring, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _check_names(name: str, signature: inspect.Signature, positional: int, named: Mapping[str, Any]) -> None:
    """UsageError for arguments that are unknown, duplicate or missing."""
    parameters = signature.parameters
    free = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for unknown in [] if free else [key for key in named if key not in parameters]:
        near = difflib.get_close_matches(unknown, parameters, 1)
        remedy = f"did you mean {near[0]}?" if near else f"choose from {', '.join(parameters)}"
        raise UsageError(f"{unknown}={named[unknown]!r}: is not an option of {name}; {remedy}")
    places = [key for key, one in parameters.items() if one.kind is one.POSITIONAL_OR_KEYWORD]
    if positional > len(places):
        raise UsageError(
            f"{name}: takes {' and '.join(places) or 'nothing'} by position, but got {positional} such arguments; "
            "name the others"
        )
    for twice in [key for key in places[:positional] if key in named]:
        raise UsageError(f"{twice}={named[twice]!r}: is there twice, by position and by name; leave one out")
    for key, one in parameters.items():
        needed = one.default is one.empty and one.kind is not one.VAR_KEYWORD
        if needed and key not in named and key not in places[:positional]:
            raise UsageError(f"{key}: is missing; {name} needs {HELP.get(key, 'it').rstrip('.')}")


def check_output(output: str | Path | None, *suffixes: str) -> None:
    """UsageError, before any work is lost, for a file of another format or in a place that cannot be written to."""
    if output is None:
        return
    path = Path(output)
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"output={str(output)!r}: name a file that ends in {' or '.join(suffixes)}")
    folder = next(parent for parent in path.parents if parent.exists())  # those below it will be created
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"output={str(output)!r}: {str(folder)!r} is not a writable folder; name another file")


def check_counts(**counts: int | None) -> None:
    """UsageError unless each is a positive integer or None."""
    for name, value in counts.items():
        if value is not None and (not isinstance(value, int) or value < 1):
            raise UsageError(f"{name}={value!r}: must be a whole number of at least 1")


def check_choice(name: str, value: Any, choices: Any) -> None:
    """UsageError for a value outside the `Literal`."""
    if value not in get_args(choices):
        raise UsageError(f"{name}={value!r}: choose from {', '.join(get_args(choices))}")


def refuse_ignored(verb: Callable[..., Any], values: Mapping[str, Any], unused: Collection[str], what: str) -> None:
    """UsageError for options without effect: those `unused` with `what` that are not at their defaults.

    `values` are the options of the verb: its `locals()` before any other assignment.
    """
    defaults = inspect.signature(verb).parameters
    idle = [name for name in defaults if name in unused and _differs(values[name], defaults[name].default)]
    if idle:
        named = ", ".join(f"{name}={values[name]!r}" for name in idle)
        raise UsageError(f"{named}: has no effect with {what}; leave it out")


def figure_options(
    verb: Callable[..., Any], values: Mapping[str, Any], figure: Callable[..., Any], what: str
) -> dict[str, Any]:
    """The verb's options that are not None and that the function `figure`, which draws a figure, takes.

    UsageError for options that it does not take, and if it needs pictures but gets none. `values` are the options of
    the verb: its `locals()` before any other assignment.
    """
    takes = inspect.signature(figure).parameters
    pictures = [name for name in ("images", "test") if name in takes]
    used = {"model", "output", "device", "method", "figure", *takes}
    used |= {"data", "value_range", "data_root", "download"} if pictures else set()
    used |= {"split"} if "images" in takes else set()
    refuse_ignored(verb, values, set(inspect.signature(verb).parameters) - used, what)
    if values["data"] is None and pictures:
        if takes[pictures[0]].default is inspect.Parameter.empty:
            raise UsageError(f"data=None: {what} needs pictures; give a data set or a folder")
        refuse_ignored(verb, values, {"split", "value_range", "data_root", "download"}, "data=None")
    return {name: values[name] for name in takes if name not in ("model", "data") and values.get(name) is not None}


def _differs(value: Any, default: Any) -> bool:
    comparable = value is None or isinstance(value, str | int | float | list | tuple)  # no array
    return not comparable or bool(value != default)


@contextlib.contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """A function that tells whether Ctrl-C or a termination signal came; a second signal stops at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop.is_set
        return

    def handle(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    handlers = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop.is_set
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def saved_run(
    file: Path | None,
    options: Mapping[str, Any],
    options_of: Callable[[dict[str, Any]], Mapping[str, Any]],
    *,
    overwrite: bool,
    resume: bool,
) -> bool:
    """Whether the file holds a run to continue; UsageError if the run has other options, or would be lost without
    `overwrite`.

    `options` are those that determine the result, and `options_of` reads those of the saved run from its metadata.
    """
    if overwrite and resume:
        raise UsageError("overwrite=True, resume=True: contradict each other; choose one")
    if file is None and resume:
        raise UsageError("resume=True: needs output_dir, the folder of the run to continue")
    if file is None:
        return False
    folder = str(file.parent)
    if not file.exists():
        if resume:
            log.warning("output_dir=%r: holds no run to resume; a new run begins", folder)
        return False
    if resume:
        from convdbn.storage.checkpoint import read_metadata

        old = options_of(read_metadata(file))
        different = [name for name, value in options.items() if json.dumps(old.get(name)) != json.dumps(value)]
        if different:
            raise UsageError(
                f"resume=True: {', '.join(different)} differ from the run in {folder}; give the same options"
            )
        return True
    if not overwrite:
        raise UsageError(
            f"output_dir={folder!r}: holds a run already; choose another folder, --overwrite or --resume"
        )
    return False


def as_tuple(name: str, numbers: int | list[int]) -> tuple[int, ...]:
    """One number or several as a tuple; UsageError, naming the option, for anything else."""
    values = (numbers,) if isinstance(numbers, int) else tuple(numbers) if isinstance(numbers, list | tuple) else ()
    if not values or not all(isinstance(number, int) for number in values):
        raise UsageError(
            f"{name}={numbers!r}: is neither a whole number nor a list of whole numbers; write {name}=[1, 2]"
        )
    return values


def checked_device(name: str) -> str:
    """The name of the device, where `auto` is the GPU if there is one; UsageError if it is not available."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device={name!r}: is not available on this machine; use cpu") from error
    return str(name)
