"""What all kernels share."""

from __future__ import annotations

import triton

INTERPRETED = bool(triton.knobs.runtime.interpret)
"""Kernels run as Python on the CPU, to be tested there (`TRITON_INTERPRET=1`)."""

if INTERPRETED:
    from . import interpreter

    interpreter.install()


def tiles(count: int, size: int) -> int:
    """How many tiles of `size` hold `count`."""
    return -(-count // size)


def power_of_two(count: int) -> int:
    """The least power of two that is not below `count`; a tile's sides are such."""
    return 1 << (count - 1).bit_length()
