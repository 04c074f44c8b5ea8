"""Compile every kernel of a step for an H200 (sm_90), which needs no GPU; prints one JSON line a kernel.

Usage: python -m tests.model.gpu.compile_step HIDDEN INNER HEADS KEY_HEADS HEAD_SIZE VOCABULARY
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction

from diffill.model.gpu.inputs import StepInputs
from diffill.model.gpu.program import Program
from diffill.model.gpu.shapes import SLOTS, StepShape
from tests.tiny import quantized, tiny_config, tiny_weights


class NoDevice:
    """As much of a driver as compiling asks for."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def main() -> None:
    names = ("hidden_size", "intermediate_size", "num_heads", "num_key_value_heads", "head_size", "vocabulary_size")
    config = tiny_config(**dict(zip(names, map(int, sys.argv[1:]), strict=True)))
    driver.set_active(NoDevice())
    compiled: dict[str, Any] = {}
    run = JITFunction.run

    def compile_only(self: Any, *arguments: Any, grid: Any, warmup: bool, **named: Any) -> None:
        kernel = run(self, *arguments, grid=grid, warmup=True, **named)
        compiled[kernel.hash] = {"kernel": kernel.metadata.name, "shared_bytes": kernel.metadata.shared}

    JITFunction.run = compile_only
    for tensors in (tiny_weights(config), quantized(tiny_weights(config))):
        program = Program(config, tensors, torch.device("cpu"))
        inputs = StepInputs(torch.device("cpu"))
        key_heads, size = config.num_key_value_heads, config.head_size
        storage = torch.empty(1, config.num_layers, 2, key_heads, 32, size, dtype=torch.bfloat16)
        for shape in (StepShape.of(1, SLOTS[1]), StepShape.of(16, SLOTS[1]), StepShape.of(16, SLOTS[-1])):
            program.step(shape, inputs.columns(shape), storage)
            program.decide(program.states[: shape.rows], torch.zeros(config.vocabulary_size))
        program.logits(program.states[:3])
    for kernel in compiled.values():
        print(json.dumps(kernel))


if __name__ == "__main__":
    main()
