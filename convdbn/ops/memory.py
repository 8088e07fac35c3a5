"""Freed memory that stays in the process, so that the buffers of one update serve the next."""

import ctypes
import functools

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
RESERVE = 1 << 30
"""Bytes of freed memory that the process does not give back."""
LARGEST = 1 << 25
"""Largest threshold that glibc accepts; it still maps and unmaps larger tensors."""


@functools.cache
def keep_freed_memory() -> None:
    """Ask glibc not to give freed buffers back to the system, up to 1 GiB; other C libraries stay as they are.

    An update makes and frees the same few buffers of some MiB. If each were mapped anew, its page faults would cost
    more than the arithmetic on it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGEST)
        mallopt(TRIM_THRESHOLD, RESERVE)
