"""What a device reaches at its best, and how long work takes on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

BANDWIDTH_BYTES = {"cpu": 256 << 20, "cuda": 4 << 30}
"""Far more than any cache holds."""
PRODUCT_SIZE = {"cpu": 1024, "cuda": 8192}
FLOOR_REPEATS = 40


@dataclass(frozen=True, kw_only=True)
class Speeds:
    """What this machine reaches."""

    bytes_per_ms: float
    """Read, and not written."""
    products_per_ms: float
    """Multiply-and-add of two bytes on a CPU, of two bf16 numbers on a GPU."""


@dataclass(frozen=True)
class Stopwatch:
    """Times work on a device. On one core of a CPU it is the processor's time, which programs that push in hardly
    change; on several, the clock's. On a GPU the clock's, until the device is done."""

    device: torch.device
    cores: int

    def milliseconds(self, work: Callable[[], object]) -> float:
        cuda = self.device.type == "cuda"
        clock = time.thread_time if self.cores == 1 and not cuda else time.perf_counter
        if cuda:
            torch.cuda.synchronize(self.device)
        began = clock()
        work()
        if cuda:
            torch.cuda.synchronize(self.device)
        return 1e3 * (clock() - began)

    def best(self, works: Sequence[Callable[[], object]], repeats: int) -> list[float]:
        """The least milliseconds of each, in turn: as the floors are the best of several."""
        times = [[self.milliseconds(work) for work in works] for _ in range(repeats)]
        return [min(column) for column in zip(*times, strict=True)]


def measure_speeds(watch: Stopwatch) -> Speeds:
    """The best of several: a floor must not be too high."""
    device, kind = watch.device, watch.device.type
    size = PRODUCT_SIZE[kind]
    if kind == "cpu":
        torch.set_num_threads(watch.cores)
    words = torch.ones(BANDWIDTH_BYTES[kind] // 4, dtype=torch.float32, device=device)
    read = min(watch.milliseconds(words.sum) for _ in range(FLOOR_REPEATS))
    del words
    if kind == "cpu":
        left = torch.ones((size, size), dtype=torch.int8)
        multiply = min(watch.milliseconds(lambda: torch._int_mm(left, left.t())) for _ in range(FLOOR_REPEATS))
    else:
        right = torch.randn((size, size), device=device).bfloat16()  # zeros or ones would run faster than real numbers
        multiply = min(watch.milliseconds(lambda: right @ right) for _ in range(FLOOR_REPEATS))
    return Speeds(bytes_per_ms=BANDWIDTH_BYTES[kind] / read, products_per_ms=size**3 / multiply)
