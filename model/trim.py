"""Memory that loading took and nobody needs any more goes back to the system."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
from collections.abc import Iterator
from pathlib import Path


def give_back() -> None:
    """What was freed (some 150 MB behind a load, which the C library would keep), and the code that only loading ran.

    LLVM and torch touch 110 MB of their own code at start. It is in their files, and comes back page by page where it
    is run again. Does nothing where the system is not Linux with glibc.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        system = ctypes.CDLL(None)
        system.malloc_trim(0)
        system.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for start, stop in _code():
            system.madvise(start, stop - start, mmap.MADV_DONTNEED)


def _code() -> Iterator[tuple[int, int]]:
    """Addresses of every library's instructions: pages of a file that nobody can have written to."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, rights, _, _, inode, *_ = line.split(maxsplit=5)
        if rights == "r-xp" and inode != "0":
            start, _, stop = addresses.partition("-")
            yield int(start, 16), int(stop, 16)
