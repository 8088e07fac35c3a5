"""Runs that can stop at any moment and resume later, with the same result as without a stop."""

import math
import time
from collections.abc import Callable, Mapping

from torch import Tensor

from convdbn.errors import Interrupted

__all__ = ["Checkpointing"]

SAVE_SECONDS = 60.0
"""Least time from one save to the next."""
SHARE = 0.02
"""Largest share of a run's time that saving may take."""


class Checkpointing:
    """How a run is saved, when it stops, and the saved run that it resumes.

    `write` writes the model and the tensors needed to resume its training; None saves nothing. `stop` tells whether
    the run has to stop. `saved` are the tensors of an earlier `write`; none for a new run.
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
        """Time of all saves together, and of the longest one."""

    def due(self) -> bool:
        """Whether it is time to save: at first, then every minute, or less often if a save takes long."""
        wait = max(SAVE_SECONDS, self.longest / SHARE)
        return self.write is not None and time.monotonic() - self.last > wait

    def save(self, state: Mapping[str, Tensor]) -> None:
        """Write the run; `state` are the tensors needed to resume."""
        if self.write is not None:
            began = time.monotonic()
            self.write(state)
            self.last = time.monotonic()
            self.longest = max(self.longest, self.last - began)
            self.seconds += self.last - began

    def interrupted(self, place: str) -> Interrupted:
        """The error that ends a run after a save; `place` is the layer and update that the run has reached."""
        remedy = "not saved, because there is no output_dir" if self.write is None else "saved; go on with --resume"
        return Interrupted(f"{place}: {remedy}")
