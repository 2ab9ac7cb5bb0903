"""Memory that a run has freed goes back to the system, instead of staying with the process for days."""

import ctypes
import ctypes.util
import functools
import gc


def give_back() -> None:
    """Collect cycles, then ask glibc to return what is free in its arenas; other systems' allocators do so themselves."""
    gc.collect()
    trim = _trim()
    if trim is not None:
        trim(0)


@functools.cache
def _trim():
    """glibc's `malloc_trim`, or None where there is none."""
    name = ctypes.util.find_library("c")
    return getattr(ctypes.CDLL(name), "malloc_trim", None) if name else None
