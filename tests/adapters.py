"""Adapters for tiny checkpoints, written by hand.

No assertions here: tests also run under `python -O`, which drops those of helpers.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import msgspec
import torch
from safetensors.torch import save
from torch import Tensor

from diffill.model.adapter import LINEARS, A, B, base_of, linear_shapes
from diffill.model.adapter_manifest import (
    FORMAT,
    MANIFEST_FILE,
    Base,
    DataSummary,
    Factors,
    FileData,
    GateResult,
    Manifest,
)
from diffill.model.config import ModelConfig

EMPTY = DataSummary(
    repository="none", trained_to="", judged_to="", files={}, licences={}, refused={}, edits={}, refused_edits={},
    secrets=0,
)  # fmt: skip


def tiny_factors(config: ModelConfig, *, rank: int = 4, size: float = 0.3, seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, Tensor] = {}
    for name, (rows, columns) in linear_shapes(config).items():
        found[name + A] = torch.randn(rank, columns, generator=generator) * columns**-0.5
        found[name + B] = torch.randn(rows, rank, generator=generator) * size
    return found


def write_adapter(
    path: Path,
    base: Path,
    factors: dict[str, Tensor] | None = None,
    *,
    rank: int = 4,
    verdict: Literal["better", "same", "worse"] | None = "better",
    made_for: Base | None = None,
    files: tuple[str, ...] = (),
) -> Path:
    """An adapter for a checkpoint, or one that says it is for another."""
    data = save(tiny_factors(ModelConfig.load(base), rank=rank) if factors is None else factors)
    digest = hashlib.sha256(data).hexdigest()
    manifest = Manifest(
        format=FORMAT,
        name="team",
        created="2026-01-01T00:00:00+00:00",
        tool_version="0",
        base=made_for or base_of(base),
        factors=Factors(
            file="adapter.safetensors", sha256=digest, bytes=len(data), rank=rank, alpha=2.0 * rank, modules=LINEARS
        ),
        data=msgspec.structs.replace(EMPTY, files={path: FileData(characters=1) for path in files}),
        config={},
        metrics={},
        gate=None if verdict is None else GateResult(verdict=verdict, reasons=(), passed={}),
    )
    path.mkdir(parents=True)
    (path / "adapter.safetensors").write_bytes(data)
    (path / MANIFEST_FILE).write_bytes(msgspec.json.encode(manifest))
    return path
