"""Memory that a step frees and the next one asks for again."""

from __future__ import annotations

import ctypes
import platform

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""Options of glibc's `mallopt`."""


def keep_freed_memory() -> None:
    """Let the allocator keep what is freed, instead of giving it back to the system and fetching it page by page.

    Tensors of a training step are large enough that glibc maps and unmaps each: faults on fresh pages took half of a
    CPU's step. It costs memory: holes between what is kept made 2.8 GB out of 2.2 for six layers of the default model,
    at 4.1 instead of 7.4 seconds a step. Elsewhere than on glibc nothing happens.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(MMAP_MAX, 0)
        libc.mallopt(TRIM_THRESHOLD, 2**31 - 1)
