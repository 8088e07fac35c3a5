"""When a run is saved: at once, every so often, and when it is asked to stop."""

import itertools

import pytest
import torch

from convdbn.errors import Interrupted
from convdbn.storage import resumable as checkpointing
from convdbn.storage.resumable import NOT_SAVED, Checkpointing


def run(kept, updates=10):
    """The updates that are taken."""
    done = []
    batches = itertools.islice(itertools.repeat(torch.empty(0)), updates)
    for _ in kept.with_checkpoints(batches, lambda: {"step": torch.tensor(len(done))}, lambda: f"step {len(done)}"):
        done.append(len(done))
    return done


@pytest.mark.parametrize(("seconds", "expected"), [(-1.0, [0, 1, 2, 3]), (1e9, [0])])
def test_saved_at_once_and_whenever_it_is_due(monkeypatch, seconds, expected):
    monkeypatch.setattr(checkpointing, "SAVE_SECONDS", seconds)
    saved = []
    assert run(Checkpointing(lambda state: saved.append(int(state["step"]))), 4) == [0, 1, 2, 3]
    assert saved == expected


def test_stopped_after_it_was_saved():
    saved, asked = [], itertools.count()
    kept = Checkpointing(lambda state: saved.append(int(state["step"])), lambda: next(asked) == 4)
    with pytest.raises(Interrupted, match="step 4: saved; go on with --resume"):
        run(kept)
    assert saved == [0, 4]


def test_a_run_that_nothing_keeps_says_so():
    assert len(run(NOT_SAVED)) == 10
    with pytest.raises(Interrupted, match="step 0: not saved: no output_dir"):
        run(Checkpointing(stop=lambda: True))
