"""A bar on a terminal and in a notebook, elsewhere a line of the log every half minute, and nothing where told so."""

import logging
import re
import sys
import types

import pytest

from convdbn.learning import progress
from convdbn.learning.progress import Progress

ROW = {"reconstruction_error": 0.0625, "activation": 0.1, "dead": 0.25, "rate": 0.01}


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass as the test says."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def shown(clock, caplog, *, verbose=True, done=0):
    """Rows at 10, 20, ... of 100 updates, ten seconds apart."""
    caplog.set_level(logging.INFO)
    with Progress(2, updates=100, done=done, verbose=verbose) as bar:
        for step in range(done + 10, 101, 10):
            clock[0] += 10
            bar.show({"step": step, **ROW})
    return [record.getMessage() for record in caplog.records]


def test_a_line_every_half_minute_without_a_terminal(clock, caplog, capsys):
    lines = shown(clock, caplog)
    assert [int(re.search(r"step (\d+) of 100", line)[1]) for line in lines] == [30, 60, 90]
    assert lines[0] == ("layer 2: step 30 of 100, rate 0.01, error 0.0625, 25 % of the units dead, 1.2 min left")
    assert capsys.readouterr().err == ""


def test_a_resumed_run_says_what_is_left_of_it(clock, caplog):
    """By the speed of its own updates."""
    assert shown(clock, caplog, done=50)[0].endswith(
        "step 80 of 100, rate 0.01, error 0.0625, 25 % of the units dead, 20 s left"
    )


def test_nothing_where_told_so(clock, caplog, capsys, monkeypatch):
    for terminal in (True, False):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal)
        assert shown(clock, caplog, verbose=False) == []
        assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal(clock, caplog, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert shown(clock, caplog) == []
    err = capsys.readouterr().err
    assert "layer 2" in err and "100/100" in err and "error=0.0625" in err


@pytest.mark.parametrize(("config", "bar"), [({"IPKernelApp": {}}, True), ({}, False)])
def test_a_bar_in_a_notebook(clock, caplog, capsys, monkeypatch, config, bar):
    shell = types.SimpleNamespace(config=config)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert (shown(clock, caplog) == []) is bar
    assert ("100/100" in capsys.readouterr().err) is bar
