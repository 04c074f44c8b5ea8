"""What was timed, and the rows and ratios that `diffill bench` prints."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from diffill.model.request import DecodeResult, ModelInfo
from diffill.model.threads import available_cores

Suite = Literal["latency", "throughput", "typing", "kernels"]
BASELINE = "ar"
OTHERS = ("llama.cpp", "transformers", "transformers assisted")
"""Programs beside us."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One answer, or the answers of one batch."""

    tokens: int
    forward_passes: int
    steps: int
    """Runs of the network, each for all of the batch; in a batch of one the same as `forward_passes`."""
    decode_ms: float
    """Without the prompt."""
    total_ms: float

    @classmethod
    def of(cls, result: DecodeResult, total_ms: float) -> Sample:
        return cls(
            tokens=len(result.tokens) // 4,
            forward_passes=result.forward_passes,
            steps=result.forward_passes,
            decode_ms=result.denoise_ms,
            total_ms=total_ms,
        )


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One mode under one condition."""

    mode: str
    tokens_per_second: float
    """New tokens over the time after the prompt."""
    tokens_per_forward: float
    step_ms: float
    """Mean time of a run of the network, its bookkeeping included."""
    p50_ms: float
    p95_ms: float
    """Of a whole answer, the prompt included; of the throughput suite, without it."""
    n: int
    prefix: Literal["cold", "warm"] | None = None
    """`warm`: one more character after a prompt that was read before."""
    batch: int | None = None
    within_150_ms: float | None = None
    """Share of the keystrokes that asked."""
    within_300_ms: float | None = None
    cancelled: float | None = None
    """Share of the keystrokes that asked and were overtaken by the next one."""
    cached_tokens: float | None = None
    """Share of the prompts' tokens that were not read again."""


class KernelRow(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of the fast network, its plain twin, and what the machine's memory and units allow."""

    kernel: str
    """`step` and `predict` as the engine calls them; on a GPU also `step on the device`, without what the host adds,
    and each kernel by its name."""
    rows: int
    context: int
    ms: float
    """The best time, as of the twin and the floors."""
    twin_ms: float
    memory_floor_ms: float
    compute_floor_ms: float
    of_floor: float
    """Time over the larger of the two floors."""
    relative_error: float
    """Norm of the difference from the twin, over the norm of the twin's result."""
    cores: int
    """Those that were free; of a GPU, its multiprocessors."""
    n: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON form of `diffill bench`."""

    suite: Suite
    device: str
    processor: str
    cores: int
    model: ModelInfo
    rows: list[Row] | list[KernelRow]
    ratios: dict[str, float]

    @classmethod
    def of(cls, suite: Suite, model: ModelInfo, rows: list[Row] | list[KernelRow]) -> Report:
        """What was measured on this machine just now."""
        return cls(
            suite=suite,
            device=model.device,
            processor=processor(model.device),
            cores=available_cores(),
            model=model,
            rows=rows,
            ratios=ratios([row for row in rows if isinstance(row, Row)]),
        )


def row(
    mode: str,
    samples: Sequence[Sample],
    *,
    prefix: Literal["cold", "warm"] | None = None,
    batch: int | None = None,
) -> Row:
    """Figures of `samples`, of which there is at least one."""
    tokens = sum(sample.tokens for sample in samples)
    milliseconds = sum(sample.decode_ms for sample in samples)
    p50, p95 = np.percentile([sample.total_ms for sample in samples], [50, 95])
    return Row(
        mode=mode,
        tokens_per_second=_rounded(1e3 * tokens / max(milliseconds, 1e-9)),
        tokens_per_forward=_rounded(tokens / max(1, sum(sample.forward_passes for sample in samples))),
        step_ms=_rounded(milliseconds / max(1, sum(sample.steps for sample in samples))),
        p50_ms=_rounded(float(p50)),
        p95_ms=_rounded(float(p95)),
        n=len(samples),
        prefix=prefix,
        batch=batch,
    )


def ratios(rows: Sequence[Row]) -> dict[str, float]:
    """Tokens per second against `ar` and llama.cpp under the same condition, and of batches against one stream."""
    found: dict[str, float] = {}
    for one in rows:
        for other in rows:
            if (one.prefix, one.batch) == (other.prefix, other.batch) and one.mode != other.mode:
                if other.mode in (BASELINE, *OTHERS) and one.mode not in OTHERS:
                    condition = f"_{one.prefix}" if one.prefix == "cold" else ""
                    condition += f"_batch_{one.batch}" if (one.batch or 1) > 1 else ""
                    found[f"{one.mode}_vs_{other.mode.replace(' ', '_')}{condition}"] = _ratio(one, other)
            elif one.mode == other.mode and other.batch == 1 and (one.batch or 1) > 1:
                found[f"{one.mode}_batch_{one.batch}_vs_1"] = _ratio(one, other)
    return found


def processor(device: str) -> str:
    """The name of the GPU or CPU, as far as the system says it."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _ratio(one: Row, other: Row) -> float:
    return _rounded(one.tokens_per_second / max(other.tokens_per_second, 1e-9))


def _rounded(value: float) -> float:
    """Three digits say more than a timing knows."""
    return round(value, 3) if value < 10 else round(value, 1)
