"""Commands that are interrupted: as programs of their own that get a signal, or in this process by a stand-in."""

import contextlib
import itertools
import os
import subprocess
import sys
import time


def interrupted(words, number, log, sign):
    """Exit code, stdout and stderr of a command that gets a signal as soon as there is a sign that it is under way.

    `sign` is a function of the log so far, which is written into the file `log`. The command is so long that it could
    not end by itself while the test lasts, however busy the machine is.
    """
    with open(log, "w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "convdbn", *words],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        while process.poll() is None and not sign(log.read_text()):
            time.sleep(0.02)
        process.send_signal(number)
        out, _ = process.communicate(timeout=100)
    return process.returncode, out, log.read_text()


def stop_after(updates):
    """In place of `stop_on_signal`: a signal comes in the last of so many updates."""

    @contextlib.contextmanager
    def stopping():
        asked = itertools.count(1)
        yield lambda: next(asked) >= updates

    return stopping
