"""What a run leaves: an adapter or a whole checkpoint, and what it belongs to and was made of."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import torch

from diffill.model.adapter import LINEARS, base_of
from diffill.model.adapter_manifest import (
    FORMAT,
    MANIFEST_FILE,
    DataSummary,
    Factors,
    FileData,
    GateResult,
    Manifest,
    Provenance,
    RehearsedData,
)
from diffill.model.checkpoint import load_checkpoint, save_checkpoint
from diffill.model.tokenizer import Tokenizer

from ..corpus.documents import write_beside
from ..history import HISTORY_FILE
from ..lora import FACTORS_FILE, LoraConfig
from ..packing import load_rows
from ..trainer import METRICS_FILE
from .plan import FinetuneConfig, Plan, edits_by_path
from .rehearsal import REHEARSED
from .standard_library import LICENCE, NAME

ROWS = "rows"
"""Where a run keeps them, below its `work`."""
TUNED_FILE = "tuned.json"
"""Beside a whole checkpoint, what the manifest is to an adapter."""


def package(plan: Plan, work: Path, out: Path, name: str) -> Provenance:
    """Write the adapter, or the int8 checkpoint of a full run; what says of it comes last."""
    made = Provenance(
        name=name,
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        tool_version=importlib.metadata.version("diffill"),
        base=base_of(plan.config.base),
        data=_summary(plan, work / ROWS),
        config=msgspec.json.decode(msgspec.json.encode(_resolved(plan), enc_hook=str)),
        metrics=_metrics(work),
    )
    if plan.config.full:
        config, weights = load_checkpoint(work)
        save_checkpoint(
            out,
            config=dataclasses.replace(config, name=name),
            weights=weights,
            tokenizer=Tokenizer.load(work),
            dtype=torch.int8,
        )
    else:
        made = _adapter(made, plan.config.lora, work, out)
    _write(out, made)
    for stale in out.glob("adapter-*.safetensors"):
        if isinstance(made, Manifest) and stale.name != made.factors.file:
            stale.unlink()
    return made


def note_gate(out: Path, made: Provenance, result: GateResult) -> Provenance:
    """Write beside the weights what the gate said."""
    noted = msgspec.structs.replace(made, gate=result)
    _write(out, noted)
    return noted


def _resolved(plan: Plan) -> FinetuneConfig:
    return msgspec.structs.replace(plan.config, learning_rate=plan.learning_rate)


def _adapter(made: Provenance, lora: LoraConfig, work: Path, out: Path) -> Manifest:
    """The factors, in a file named by its content."""
    data = (work / FACTORS_FILE).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    file = f"adapter-{digest[:12]}.safetensors"
    write_beside(out / file, data)
    factors = Factors(file=file, sha256=digest, bytes=len(data), rank=lora.rank, alpha=lora.alpha, modules=LINEARS)
    return Manifest(**msgspec.structs.asdict(made), format=FORMAT, factors=factors)


def _write(out: Path, made: Provenance) -> None:
    name = MANIFEST_FILE if isinstance(made, Manifest) else TUNED_FILE
    write_beside(out / name, msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n")


def _summary(plan: Plan, rows: Path) -> DataSummary:
    selection, edits = plan.selection, edits_by_path(plan.learned.pairs)
    characters = {document.path: len(document.text) for document in selection.documents}
    return DataSummary(
        repository=plan.repository.name,
        trained_to=plan.repository.trained_to,
        judged_to=plan.repository.judged_to,
        files={
            path: FileData(characters=characters.get(path, 0), edits=edits[path])
            for path in sorted(characters.keys() | edits.keys())
        },
        licences=dict(Counter(document.licence for document in selection.documents)),
        refused=dict(selection.reasons()),
        edits=dict(Counter(pair.kind for pair in plan.learned.pairs)),
        refused_edits=dict(plan.learned.refused),
        secrets=len(selection.secrets) + len(plan.learned.secrets),
        rehearsed=_rehearsed(plan, rows),
    )


def _rehearsed(plan: Plan, rows: Path) -> RehearsedData | None:
    shards = {path.name: len(load_rows(path)) for path in rows.glob("train-*")}
    others = sum(count for name, count in shards.items() if name.endswith(REHEARSED))
    if not others:
        return None
    return RehearsedData(
        source=NAME,
        licence=LICENCE,
        files={document.path: len(document.text) for document in plan.rehearsal.documents},
        rows=others,
        share=round(others / sum(shards.values()), 4),
    )


def _metrics(work: Path) -> dict[str, object]:
    records = _records(work / METRICS_FILE)
    measured = [record["held_out"] for record in records if record.get("held_out")]
    done = msgspec.json.decode((work / HISTORY_FILE).read_bytes())
    return {
        "steps": done["steps"],
        "tokens": done["tokens"],
        "legs": done["legs"],
        "seconds": round(seconds_spent(work / METRICS_FILE), 1),
        "later_commits_before": measured[0] if measured else None,
        "later_commits_after": measured[-1] if measured else None,
    }


def seconds_spent(metrics: Path) -> float:
    """Training time of all legs so far: each counts its own from zero."""
    total = leg = 0.0
    for record in _records(metrics):
        if "elapsed" in record:
            if record["elapsed"] < leg:
                total += leg
            leg = record["elapsed"]
    return total + leg


def _records(metrics: Path) -> list[dict[str, Any]]:
    if not metrics.exists():
        return []
    records = []
    for line in metrics.read_text("utf-8").splitlines():
        with contextlib.suppress(ValueError):  # the last line of a run that was killed
            records.append(json.loads(line))
    return records
