"""Triton's interpreter, by which kernels are tested without a GPU, with two gaps closed.

It multiplies bf16 as if the bits were numbers, and rounds to bf16 by cutting off (3.6); its sums depend on where a row
stands in a tile. Here products are summed in fp64, where the order no longer shows after rounding to fp32.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import triton.language as tl
from triton.runtime import interpreter

_cast = interpreter.InterpreterBuilder.cast_impl


def install() -> None:
    """From here on, kernels that are interpreted compute so."""
    interpreter.InterpreterBuilder.create_dot = _exact_dot
    interpreter.InterpreterBuilder.cast_impl = _nearest_cast
    builder = interpreter.interpreter_builder
    builder.options = replace(builder.options, sanitize_overflow=False)  # half of the time


def _exact_dot(builder: Any, a: Any, b: Any, d: Any, precision: Any, imprecise: Any) -> Any:
    product = np.matmul(_doubles(a), _doubles(b)) + d.data
    return interpreter.TensorHandle(product.astype(d.data.dtype), d.dtype.scalar)


def _doubles(handle: Any) -> np.ndarray:
    data: np.ndarray = handle.data
    if handle.dtype.scalar == tl.bfloat16:
        data = (data.astype(np.uint32) << 16).view(np.float32)
    return data.astype(np.float64)


def _nearest_cast(builder: Any, source: Any, wanted: Any) -> Any:
    if wanted.scalar != tl.bfloat16 or source.dtype.scalar == tl.bfloat16:
        return _cast(builder, source, wanted)
    floats = source.data.astype(np.float32)
    bits = floats.view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16  # to the nearest, of two to the even one
    kept = np.where(np.isnan(floats), bits >> 16 | 0x40, rounded)
    return interpreter.TensorHandle(kept.astype(np.uint16), tl.bfloat16)
