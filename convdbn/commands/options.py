"""What the commands share: checks before any work, run folders, signals, devices."""

import contextlib
import inspect
import json
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convdbn.errors import UsageError

if TYPE_CHECKING:
    import torch

    from convdbn.models.stack import Stack


FIGURE = (".png", ".pdf", ".svg")
"""Formats of figures."""
PICTURES = {"data", "split", "count", "data_root", "download"}
"""Options about pictures that are given."""
FEW = 8
"""Units, and pictures, that are shown where none are named and there is no room for all."""


def check_output(output: str | Path, *suffixes: str) -> None:
    """UsageError, before the work that would be lost, for a file of another format or in no folder to write into."""
    path = Path(output)
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"output={str(output)!r}: name a file that ends in {' or '.join(suffixes)}")
    folder = next(parent for parent in path.parents if parent.exists())  # the others are made
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"output={str(output)!r}: {str(folder)!r} is no folder to write into; name another file")


def check_counts(**counts: int) -> None:
    """UsageError for numbers of things of which there must be one."""
    for name, value in counts.items():
        if value < 1:
            raise UsageError(f"{name}={value}: must be at least 1")


def check_choice(name: str, value: Any, allowed: Collection[str]) -> None:
    if value not in allowed:
        raise UsageError(f"{name}={value!r}: choose from {', '.join(allowed)}")


def refuse_ignored(verb: Callable[..., Any], given: Mapping[str, Any], unused: Collection[str], what: str) -> None:
    """UsageError for options that would do nothing: those `unused` with `what` that are not at their defaults.

    `given` are the options of the verb, its `locals()` before any of them is changed.
    """
    defaults = inspect.signature(verb).parameters
    idle = [name for name in defaults if name in unused and given[name] != defaults[name].default]
    if idle:
        named = ", ".join(f"{name}={given[name]!r}" for name in idle)
        raise UsageError(f"{named}: of no use with {what}; leave out")


def others(uses: Mapping[str, set[str]], chosen: str) -> set[str]:
    """The options that are used, but not by this one."""
    return set().union(*uses.values()) - uses[chosen]


def require_data(data: str | Path | None, what: str) -> None:
    if data is None:
        raise UsageError(f"data=None: {what} needs pictures; give a data set or a folder")


@contextlib.contextmanager
def stop_on_signal() -> Iterator[Any]:
    """A function that says whether Ctrl-C or a termination signal came; a second Ctrl-C stops at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(number: int, frame: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def saved_run(
    file: Path | None,
    chosen: Mapping[str, Any],
    before: Callable[[dict[str, Any]], Mapping[str, Any]],
    *,
    overwrite: bool,
    resume: bool,
) -> bool:
    """Whether the file holds a run to go on with; refuse one that would be lost unasked, or of other options.

    `chosen` are the options that decide what comes out, and `before` finds those of a run in its metadata.
    """
    if overwrite and resume:
        raise UsageError("overwrite and resume: choose one, to replace the run or to go on with it")
    if file is None:
        if resume:
            raise UsageError("resume=True: needs output_dir, the folder of the run to go on with")
        return False
    if not file.exists():
        return False
    folder = str(file.parent)
    if resume:
        from convdbn.storage.checkpoint import read_metadata

        old = before(read_metadata(file))
        different = [name for name, value in chosen.items() if json.dumps(old.get(name)) != json.dumps(value)]
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


def seeded(model: "Stack", seed: int) -> "torch.Generator":
    """A generator where the model is."""
    import torch

    return torch.Generator(next(model.parameters()).device).manual_seed(seed)


def as_tuple(numbers: int | list[int]) -> tuple[int, ...]:
    return (numbers,) if isinstance(numbers, int) else tuple(numbers)


def checked_device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device={name!r}: not to be had here; use cpu") from error
    return name
