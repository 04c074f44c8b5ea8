"""What an adapter says of itself: the base it belongs to, what it was made of, and how it did. No torch.

An adapter is a directory of two files: `manifest.json` and the safetensors file that it names.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import msgspec

from .tokenizer import TOKENIZER_FILE

MANIFEST_FILE = "manifest.json"
REPORT_FILES = ("gate.json", "report.html", "report.png")
"""Beside it, where the adapter was measured."""
FORMAT = 1


class Base(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The checkpoint that an adapter changes; it fits no other."""

    name: str
    hash: str
    """`checkpoint.checkpoint_hash`."""
    tokenizer_sha256: str


class Factors(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The weights' file, and how they are applied."""

    file: str
    sha256: str
    bytes: int
    rank: int
    alpha: float
    """A matrix gets `alpha / rank * B @ A` (LoRA, arXiv 2106.09685)."""
    modules: tuple[str, ...]


class FileData(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one file gave."""

    characters: int = 0
    edits: int = 0


class RehearsedData(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Code of others that was learned beside the repository's, so that it is not forgotten."""

    source: str
    licence: str
    """SPDX expression."""
    files: dict[str, int]
    """Characters by path, below `source`."""
    rows: int
    share: float
    """Of all rows that the run drew from."""


class DataSummary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the adapter saw, without a character of it."""

    repository: str
    """The name of its directory."""
    trained_to: str
    """The last commit that was trained on."""
    judged_to: str
    """The commits up to this one only measured."""
    files: dict[str, FileData]
    licences: dict[str, int]
    """Files by SPDX expression."""
    refused: dict[str, int]
    """Files by reason."""
    edits: dict[str, int]
    """Pairs by kind."""
    refused_edits: dict[str, int]
    secrets: int
    """Places where something was masked."""
    rehearsed: RehearsedData | None = None


class Figure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A share of cases, with the base alone and with the adapter."""

    n: int
    before: float
    after: float
    difference_ci95: tuple[float, float]
    """Paired bootstrap."""


class GateResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the gate said; `gate.json` and `report.html` beside the manifest hold all of it."""

    verdict: Literal["better", "same", "worse"]
    reasons: tuple[str, ...]
    passed: dict[str, Figure]
    """By set of cases."""


class Provenance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where tuned weights come from and how they did, whether they are an adapter or a whole checkpoint."""

    name: str
    created: str
    """UTC, ISO 8601."""
    tool_version: str
    base: Base
    data: DataSummary
    config: dict[str, object]
    """The resolved configuration of the run."""
    metrics: dict[str, object]
    """Steps, tokens, seconds, and held-out losses before and after, in nats per token."""
    gate: GateResult | None = None
    """None: not measured."""


class Manifest(Provenance, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`manifest.json`."""

    format: int
    factors: Factors


def read_manifest(directory: Path) -> Manifest:
    """Read and check the manifest alone.

    Raises:
        ValueError: it is missing, is no manifest, is of a newer format, or names a file outside its directory.
    """
    path = directory / MANIFEST_FILE
    try:
        data = path.read_bytes()
        if (version := msgspec.json.decode(data, type=_Format).format) != FORMAT:
            raise ValueError(f"adapter: {path} has format {version}; this version of Diffill reads {FORMAT}")
        manifest = msgspec.json.decode(data, type=Manifest)
    except OSError as error:
        raise ValueError(f"adapter: cannot read {path}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise ValueError(f"adapter: {path}: {error}") from None
    name = manifest.factors.file
    if name in ("", "..") or Path(name).name != name:
        raise ValueError(f"adapter: {path} names a file outside its directory: {name!r}")
    if not (manifest.factors.rank > 0 and manifest.factors.alpha > 0):
        raise ValueError(f"adapter: {path}: rank and alpha are not positive")
    return manifest


def tokenizer_hash(checkpoint: Path) -> str:
    """Raises ValueError when the checkpoint has no tokenizer."""
    path = checkpoint / TOKENIZER_FILE
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ValueError(f"checkpoint: cannot read {path}: {error.strerror}") from None


class _Format(msgspec.Struct, frozen=True, kw_only=True):
    format: int
