"""Compile the C kernels with the compiler of the machine, once for each source, compiler and processor."""

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from ctypes import c_int, c_long, c_uint64, c_void_p
from pathlib import Path

log = logging.getLogger(__name__)

SOURCE = Path(__file__).with_name("cpu_kernels.c")
FLAGS = ("-O3", "-march=native", "-fopenmp", "-shared", "-fPIC")
ARGUMENTS = {
    "bernoulli": [c_void_p] * 4 + [c_long] * 3 + [c_uint64, c_int],
    "block_softmax": [c_void_p] * 5 + [c_long] * 4 + [c_int, c_uint64, c_int],
    "fold_columns": [c_void_p] * 2 + [c_long] * 6 + [c_int],
}


@functools.cache
def library() -> ctypes.CDLL | None:
    """The kernels; None if they cannot be built, with a warning in the log that says why."""
    try:
        loaded = ctypes.CDLL(str(_built()))
        for name, arguments in ARGUMENTS.items():
            getattr(loaded, name).argtypes = arguments
            getattr(loaded, name).restype = None
        return loaded
    except (OSError, subprocess.SubprocessError) as error:
        reason = getattr(error, "stderr", "") or str(error)
        log.warning("CPU kernels not built, PyTorch takes their place: %s", reason.strip().splitlines()[0])
        return None


def _built() -> Path:
    """Path of the library, after a compilation unless the cache has it."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")
    if compiler is None:
        raise OSError("no C compiler (gcc, cc or clang)")
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    key = hashlib.sha256("\n".join([SOURCE.read_text(), version, *FLAGS, _processor()]).encode()).hexdigest()
    path = _cache() / f"kernels-{key[:16]}.so"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Compile beside the final place, then move, so that another process never loads half a file.
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            fresh = Path(folder, path.name)
            command = [compiler, *FLAGS, str(SOURCE), "-o", str(fresh)]
            subprocess.run(command, capture_output=True, text=True, check=True)
            fresh.replace(path)
        log.info("CPU kernels built with %s", version.splitlines()[0])
    return path


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "convdbn")


def _processor() -> str:
    """What `-march=native` depends on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})) or (
        platform.processor() + platform.machine()
    )
