"""Runs that can be stopped at any moment and resumed later as if they had not been."""

import math
import time
from collections.abc import Callable, Mapping

from torch import Tensor

from convdbn.errors import Interrupted

__all__ = ["Checkpointing"]

SAVE_SECONDS = 60.0
"""Seconds from one save to the next, at least."""
SHARE = 0.02
"""Share of the time of a run that saving may take."""


class Checkpointing:
    """How a run is saved: what writes it, what asks it to stop, and the saved run that it resumes.

    `write` writes the model as it is, with the tensors that resuming needs beside it; None saves nothing. `stop` says
    whether the run is to stop. `saved` are the tensors that an earlier `write` took; none for a new run.
    """

    def __init__(
        self,
        write: Callable[[Mapping[str, Tensor]], None] | None = None,
        stop: Callable[[], bool] = lambda: False,
        saved: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.write, self.stop, self.saved = write, stop, saved or {}
        self.last = -math.inf
        self.seconds, self.longest = 0.0, 0.0
        """Time that all saves took, and the longest of them."""

    def due(self) -> bool:
        """Whether it is time to save: at first, then every minute, or less often where a save takes long."""
        wait = max(SAVE_SECONDS, self.longest / SHARE)
        return self.write is not None and time.monotonic() - self.last > wait

    def save(self, state: Mapping[str, Tensor]) -> None:
        """Write the run, of which the training has this state."""
        if self.write is not None:
            began = time.monotonic()
            self.write(state)
            self.last = time.monotonic()
            self.longest = max(self.longest, self.last - began)
            self.seconds += self.last - began

    def interrupted(self, place: str) -> Interrupted:
        """The error that ends a run once it was saved, naming the `place` where it stands."""
        remedy = "not saved: no output_dir" if self.write is None else "saved; go on with --resume"
        return Interrupted(f"{place}: {remedy}")
