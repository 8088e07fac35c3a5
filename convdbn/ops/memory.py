"""Keeping freed memory in the process, so that the buffers of one update serve the next."""

import ctypes
import functools

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
KEPT = 1 << 30
LARGEST = 1 << 25
"""The most that glibc takes for its threshold; larger tensors are mapped and unmapped as before."""


@functools.cache
def keep_freed_memory() -> None:
    """Ask glibc not to hand freed buffers back to the system, up to 1 GiB; other C libraries are left alone.

    An update makes and frees the same few buffers of some MiB. Mapped anew each time, their page faults cost more
    than the arithmetic done on them.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGEST)
        mallopt(TRIM_THRESHOLD, KEPT)
