"""Runs that can be stopped at any moment and go on later as if they had not been."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from convdbn.errors import Interrupted

SAVE_SECONDS = 60.0


@dataclass(frozen=True)
class Checkpointing:
    """How a run is kept: what saves it, what asks it to stop, and the saved run that it goes on with."""

    save: Callable[[Mapping[str, Tensor]], None] | None = None
    """Writes the model as it is, with the tensors that going on needs beside it; None keeps nothing."""
    stop: Callable[[], bool] = lambda: False
    """Asked before each update whether to stop."""
    saved: Mapping[str, Tensor] = field(default_factory=dict)
    """What `save` was given; empty for a new run."""

    def with_checkpoints(
        self, batches: Iterable[Tensor], state: Callable[[], Mapping[str, Tensor]], place: Callable[[], str]
    ) -> Iterator[Tensor]:
        """The batches of the updates; before the first, and about every minute, the run is saved with its `state`.

        Raises `Interrupted`, naming the `place` where the run stands, after it was saved for the last time.
        """
        last = -math.inf
        for batch in batches:
            stopped = self.stop()
            if self.save is not None and (stopped or time.monotonic() - last > SAVE_SECONDS):
                self.save(state())
                last = time.monotonic()
            if stopped:
                remedy = "not saved: no output_dir" if self.save is None else "saved; go on with --resume"
                raise Interrupted(f"{place()}: {remedy}")
            yield batch


NOT_SAVED = Checkpointing()
"""A run that is lost where it is stopped."""
