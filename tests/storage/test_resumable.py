"""When a run is saved: at once, every so often, and when it is asked to stop."""

import itertools
import math
import time

import pytest
import torch

from convdbn.errors import Interrupted
from convdbn.storage import resumable
from convdbn.storage.resumable import Checkpointing


def run(checkpoint, updates=10):
    """The updates that are taken, in a loop as those of the training."""
    done = []
    checkpoint.save({"step": torch.tensor(0)})
    for step in range(1, updates + 1):
        done.append(step)
        interrupted = checkpoint.stop()
        if interrupted or checkpoint.due():
            checkpoint.save({"step": torch.tensor(step)})
        if interrupted:
            raise checkpoint.interrupted(f"step {step}")
    return done


@pytest.mark.parametrize(("seconds", "expected"), [(-1.0, [0, 1, 2, 3, 4]), (1e9, [0])])
def test_saved_at_once_and_whenever_it_is_due(monkeypatch, seconds, expected):
    monkeypatch.setattr(resumable, "SAVE_SECONDS", seconds)
    monkeypatch.setattr(resumable, "SHARE", math.inf)
    saved = []
    assert run(Checkpointing(lambda state: saved.append(int(state["step"]))), 4) == [1, 2, 3, 4]
    assert saved == expected


def test_long_saves_are_seldom(monkeypatch):
    """A save of 20 ms may take a fiftieth of the time: none is due within the next second."""
    monkeypatch.setattr(resumable, "SAVE_SECONDS", 0.0)
    checkpoint = Checkpointing(lambda state: time.sleep(0.02))
    checkpoint.save({})
    assert 0.02 <= checkpoint.seconds == checkpoint.longest
    time.sleep(0.01)
    assert not checkpoint.due()
    checkpoint.last -= checkpoint.longest / resumable.SHARE
    assert checkpoint.due()


def test_due_before_the_first_save():
    checkpoint = Checkpointing(lambda state: None)
    assert checkpoint.due()
    checkpoint.save({})
    assert not checkpoint.due()


def test_stopped_after_it_was_saved():
    saved, asked = [], itertools.count(1)
    checkpoint = Checkpointing(lambda state: saved.append(int(state["step"])), lambda: next(asked) == 4)
    with pytest.raises(Interrupted, match="step 4: saved; go on with --resume"):
        run(checkpoint)
    assert saved == [0, 4]


def test_a_run_that_nothing_saves_says_so():
    assert len(run(Checkpointing())) == 10
    assert not Checkpointing().due()
    with pytest.raises(Interrupted, match="step 1: not saved, because there is no output_dir"):
        run(Checkpointing(stop=lambda: True))
