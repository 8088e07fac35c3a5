"""Where a figure comes from: every file in results/ names its command, versions, machine and date."""

import json
import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any


def write(path: Path, figures: Mapping[str, Any]) -> None:
    """Write `figures` with their provenance as JSON."""
    provenance = {
        "command": command(),
        "versions": {name: metadata.version(name) for name in ("convdbn", "torch", "numpy", "scikit-learn")},
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
    """Processor and number of cores, in words."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = models[0] if models else platform.processor() or platform.machine()
    return f"{name}, {len(models) or '?'} cores, {platform.system()}"
