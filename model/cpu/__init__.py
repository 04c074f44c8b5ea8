"""The network as one native program, for CPUs that multiply bytes (AVX-512 VNNI). Elsewhere plain torch computes.

What writes and compiles the program needs no torch, so that it may be done while torch is imported.
"""

from __future__ import annotations

import contextlib
import importlib.util
import platform
from pathlib import Path

from ..config import ModelConfig


def runs_here(config: ModelConfig) -> bool:
    """Whether this CPU has the instructions, and the network is one that the program computes."""
    return not obstacle(config)


def obstacle(config: ModelConfig) -> str:
    """Why the program cannot compute this network here; empty when it can."""
    if platform.machine() not in ("x86_64", "AMD64") or importlib.util.find_spec("llvmlite") is None:
        return "it is for x86-64 with llvmlite"
    if not _multiplies_bytes():
        return "LLVM finds no AVX-512 VNNI here"
    if config.qkv_bias or config.qk_norm or not config.tied_head:
        return "it knows no biases, no norms of heads and no head of its own"
    if config.context_block > 1:
        return "its clean tokens see none behind them"
    sizes = (config.hidden_size, config.intermediate_size, config.head_size // 2)
    return "" if all(size % 16 == 0 for size in sizes) else "its vectors do not fit the sizes of this network"


def compile_ahead(directory: Path) -> None:
    """Compile the program for a checkpoint, where it can be used; what is wrong is said where the result is wanted."""
    with contextlib.suppress(Exception):
        config = ModelConfig.load(directory)
        if runs_here(config):
            from .program import compiled

            compiled(config)


def _multiplies_bytes() -> bool:
    try:
        import llvmlite.binding as llvm

        features: dict[str, bool] = llvm.get_host_cpu_features()  # of the CPU and of the system, which saves registers
    except (ImportError, OSError, RuntimeError):  # its library does not load, or does not know this CPU
        return False
    return features.get("avx512vnni", False)
