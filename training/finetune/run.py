"""A plan to an adapter: rows, the trainer of every stage with LoRA in it, and the package."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import hashlib
import importlib.metadata
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from diffill.model.adapter import LINEARS, base_of
from diffill.model.adapter_manifest import FORMAT, MANIFEST_FILE, DataSummary, Factors, FileData, Manifest
from diffill.model.config import ModelConfig
from diffill.model.tokenizer import Tokenizer

from ..corpus.documents import write_beside
from ..corruption import CorruptionConfig
from ..joint import JointConfig, JointStage
from ..lora import FACTORS_FILE, LoraWeights
from ..packing import pack, save_rows
from ..row_store import RowStore
from ..trainer import METRICS_FILE, Trainer
from .plan import NOISY_LENGTH, Plan, edits_by_path

WORK, LOCK_FILE, PLAN_FILE = "work", "lock", "plan.sha256"
LEAST_SECONDS = 1.0


def finetune(
    plan: Plan, out: Path, name: str, on_progress: Callable[[dict[str, Any]], None] = lambda record: None
) -> Manifest:
    """Train, or go on with a run that was ended early, and write the package to `out`.

    Raises:
        ValueError: `out` is in use or holds another run, or the loss is no longer finite.
        OSError: files cannot be written; what was saved stays.
    """
    work = out / WORK
    with _alone(work):
        _same_plan(work, plan)
        _write_rows(work / "rows", plan)
        metrics = work / METRICS_FILE
        budget = 60.0 * plan.config.minutes - _seconds(metrics)
        resumed = (work / FACTORS_FILE).exists()
        if budget >= LEAST_SECONDS or not resumed:
            config = _stage_config(plan, work, name, max(budget, LEAST_SECONDS))
            weights = LoraWeights(plan.config.lora, work if resumed else None)
            trainer = Trainer(config, JointStage(config), weights)
            if trainer.before.steps < _steps(work, plan):
                trainer.run(on_progress)
        return _package(plan, out, name)


def _stage_config(plan: Plan, work: Path, name: str, seconds: float) -> JointConfig:
    """Stage B, over holes and edits; blocks of the size that the base is decoded with."""
    config = plan.config
    return JointConfig(
        start=config.base,
        out=work,
        rows=work / "rows",
        name=name,
        seconds=seconds,
        device=config.device,
        rows_per_step=config.rows_per_step,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_steps,
        decay_share=0.5,
        evaluate_every=300.0,
        held_out_rows=config.judged_rows,
        max_steps=max(1, _steps(work, plan) - _done(work)),
        corruption=CorruptionConfig(block_size=ModelConfig.load(config.base).block_size, noisy_length=NOISY_LENGTH),
        seed=config.seed,
    )


def _steps(work: Path, plan: Plan) -> int:
    """Of all epochs."""
    return -(-len(RowStore(work / "rows", seed=plan.config.seed)) // plan.config.rows_per_step)


def _done(work: Path) -> int:
    from ..history import History

    return History.of(work, JointStage.name).steps


def _write_rows(directory: Path, plan: Plan) -> None:
    """Packed once; what is there already is kept, and checked when it is read."""
    config, tokenizer = plan.config, Tokenizer.load(plan.config.base)
    directory.mkdir(exist_ok=True)
    if not (directory / "held-out").exists():
        judged = pack(plan.judged_examples(tokenizer), config.row_length)
        if len(judged):
            save_rows(directory / "held-out", judged)
    for epoch in range(config.epochs):
        path = directory / f"train-{epoch:03d}"
        if not path.exists():
            save_rows(path, pack(plan.learned_examples(tokenizer, epoch), config.row_length))


@contextlib.contextmanager
def _alone(work: Path) -> Iterator[None]:
    """One run at a time in a directory; the lock ends with the process, however that ends."""
    work.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(work / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"--out: another run is at work in {work}") from None
        yield
    finally:
        os.close(descriptor)


def _same_plan(work: Path, plan: Plan) -> None:
    path = work / PLAN_FILE
    fingerprint = plan.fingerprint
    if path.exists():
        if path.read_text("utf-8").strip() != fingerprint:
            raise ValueError(
                f"--out: {work} holds a run on other files or with other options; "
                "give another directory, or remove this one"
            )
    else:
        write_beside(path, fingerprint.encode() + b"\n")


def _records(metrics: Path) -> list[dict[str, Any]]:
    if not metrics.exists():
        return []
    records = []
    for line in metrics.read_text("utf-8").splitlines():
        with contextlib.suppress(ValueError):  # the last line of a run that was killed
            records.append(json.loads(line))
    return records


def _seconds(metrics: Path) -> float:
    """Training time of all legs so far: each counts its own from zero."""
    total = leg = 0.0
    for record in _records(metrics):
        if "elapsed" in record:
            if record["elapsed"] < leg:
                total += leg
            leg = record["elapsed"]
    return total + leg


def _package(plan: Plan, out: Path, name: str) -> Manifest:
    """The weights first, named by their content; the manifest, which names them, last."""
    work = out / WORK
    data = (work / FACTORS_FILE).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    file = f"adapter-{digest[:12]}.safetensors"
    write_beside(out / file, data)
    lora = plan.config.lora
    manifest = Manifest(
        format=FORMAT,
        name=name,
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        tool_version=importlib.metadata.version("diffill"),
        base=base_of(plan.config.base),
        factors=Factors(file=file, sha256=digest, bytes=len(data), rank=lora.rank, alpha=lora.alpha, modules=LINEARS),
        data=_summary(plan),
        config=msgspec.json.decode(msgspec.json.encode(plan.config, enc_hook=str)),
        metrics=_metrics(work),
    )
    write_beside(out / MANIFEST_FILE, msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
    for stale in out.glob("adapter-*.safetensors"):
        if stale.name != file:
            stale.unlink()
    return manifest


def _summary(plan: Plan) -> DataSummary:
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
    )


def _metrics(work: Path) -> dict[str, object]:
    records = _records(work / METRICS_FILE)
    measured = [record["held_out"] for record in records if record.get("held_out")]
    done = msgspec.json.decode((work / "history.json").read_bytes())
    return {
        "steps": done["steps"],
        "tokens": done["tokens"],
        "legs": done["legs"],
        "seconds": round(_seconds(work / METRICS_FILE), 1),
        "later_commits_before": measured[0] if measured else None,
        "later_commits_after": measured[-1] if measured else None,
    }
