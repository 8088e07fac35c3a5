"""The progress of a layer: a bar on a terminal and in a notebook, elsewhere a line of the log now and then."""

import logging
import sys
import time
from types import TracebackType

from tqdm.auto import tqdm

from convdbn.storage.metrics import Metrics

__all__ = ["Progress"]

log = logging.getLogger(__name__)

LINE_SECONDS = 30.0
"""Seconds from one line of the log to the next."""


class Progress:
    """Shows the rows of metrics of one layer, from step `done` on; shows nothing if `verbose` is False."""

    def __init__(self, layer: int, *, updates: int, done: int, verbose: bool = True) -> None:
        self.layer, self.updates, self.done = layer, updates, done
        bar = verbose and (sys.stderr.isatty() or _in_notebook())
        self.bar = tqdm(total=updates, initial=done, desc=f"layer {layer}", disable=not bar)
        self.lines = verbose and not bar
        self.started = self.last = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def show(self, row: Metrics) -> None:
        """Show one row."""
        self.bar.set_postfix(error=f"{row['reconstruction_error']:.4f}", on=f"{row['activation']:.4f}", refresh=False)
        self.bar.update(row["step"] - self.bar.n)
        now = time.monotonic()
        if self.lines and now - self.last >= LINE_SECONDS:
            self.last = now
            log.info(self._line(row, now - self.started))

    def _line(self, row: Metrics, seconds: float) -> str:
        step = int(row["step"])
        left = seconds / (step - self.done) * (self.updates - step)
        return (
            f"layer {self.layer}: step {step} of {self.updates}, rate {row['rate']:.3g}, error "
            f"{row['reconstruction_error']:.4f}, {100 * row['dead']:.0f} % of the units dead, {_duration(left)} left"
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()


def _in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    interactive = sys.modules.get("IPython")
    shell = None if interactive is None else interactive.get_ipython()
    return shell is not None and "IPKernelApp" in shell.config


def _duration(seconds: float) -> str:
    """In seconds, minutes or hours.

    >>> _duration(59), _duration(150), _duration(5400)
    ('59 s', '2.5 min', '1.5 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.2g} min" if seconds < 3600 else f"{seconds / 3600:.2g} h"
