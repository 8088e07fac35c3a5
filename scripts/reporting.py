"""Common parts of the scripts: their options, and the provenance of figures (every file in results/ names its
command, versions, machine and date)."""

import argparse
import hashlib
import json
import platform
import shlex
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import convdbn

OPTIONS: dict[str, dict[str, Any]] = {
    "--data-root": {"required": True, "help": "folder that holds the data sets"},
    "--quick": {"action": "store_true", "help": "a small part of the work, to see that it runs"},
    "--device": {"default": "cpu", "help": "cpu or cuda"},
}
"""Options that several scripts have."""


def parser(doc: str | None, *names: str) -> argparse.ArgumentParser:
    """A command line with these of `OPTIONS`, described by the first line of a script's docstring."""
    made = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    for name in names:
        made.add_argument(name, **OPTIONS[name])
    return made


def write(path: Path, figures: Mapping[str, Any]) -> None:
    """Write `figures` with their provenance as JSON."""
    provenance = {
        "command": command(),
        "versions": {"convdbn": convdbn.__version__}
        | {name: metadata.version(name) for name in ("torch", "numpy", "scikit-learn")},
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**figures, **provenance}, indent=2) + "\n")


def command() -> str:
    """The command line; where a user keeps the data is written DIR."""
    words = ["python", *sys.argv]
    if "--data-root" in words[:-1]:
        words[words.index("--data-root") + 1] = "DIR"
    return shlex.join(words)


def machine() -> str:
    """Processor, number of cores and GPU, in words."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = models[0] if models else platform.processor() or platform.machine()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{name}, {len(models) or '?'} cores{gpu}, {platform.system()}"


class Ledger:
    """The figures of a long script so far, in runs/NAME.json, so that a second run continues an interrupted one.

    Figures of other weights or options are not taken up: `stamp` says which these are.
    """

    def __init__(self, name: str, stamp: str) -> None:
        self.path, self.stamp = Path("runs", f"{name}.json"), stamp
        stored = json.loads(self.path.read_text()) if self.path.exists() else {}
        self.entries: dict[str, Any] = stored["entries"] if stored.get("stamp") == stamp else {}

    def get(self, name: str, compute: Callable[[], Any]) -> Any:
        """The figures called `name`, computed unless they are in the file."""
        if name not in self.entries:
            start = perf_counter()
            figures = compute()
            self._enter(name, figures, perf_counter() - start)
            print(name, json.dumps(figures), file=sys.stderr, flush=True)
        return self.entries[name]["figures"]

    def array(self, name: str, compute: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
        """The array called `name`, which has a file of its own."""
        file = self.path.with_name(f"{self.path.stem}_{name}.npy")
        if name not in self.entries or not file.exists():
            start = perf_counter()
            array = compute()
            file.parent.mkdir(exist_ok=True)
            np.save(file, array)
            self._enter(name, str(file), perf_counter() - start)
        return np.load(file)

    def close(self) -> float:
        """Seconds of all figures; the next run starts anew."""
        for file in [*self.path.parent.glob(f"{self.path.stem}_*.npy"), self.path]:
            file.unlink(missing_ok=True)
        return round(sum(entry["seconds"] for entry in self.entries.values()), 1)

    def _enter(self, name: str, figures: Any, seconds: float) -> None:
        self.entries[name] = {"figures": figures, "seconds": seconds}
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(json.dumps({"stamp": self.stamp, "entries": self.entries}))


def fingerprint(*parts: object) -> str:
    """Short hash of options and of the contents of files."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.read_bytes() if isinstance(part, Path) else repr(part).encode())
    return digest.hexdigest()[:16]
