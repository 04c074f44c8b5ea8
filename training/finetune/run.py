"""A plan to an adapter: rows, the trainer of every stage with LoRA in it, the package, and the gate."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffill.model.adapter_manifest import Provenance
from diffill.model.checkpoint import WEIGHTS_FILE
from diffill.model.config import ModelConfig
from diffill.model.tokenizer import Tokenizer

from ..compilation import can_compile
from ..corpus.documents import write_beside
from ..corruption import CorruptionConfig
from ..followers import followers
from ..history import History
from ..joint import JointConfig, JointStage
from ..lora import FACTORS_FILE, LoraWeights
from ..packing import load_rows, pack, save_rows
from ..processes import Processes, leads
from ..row_store import RowStore
from ..trained_weights import AllWeights, TrainedWeights
from ..trainer import METRICS_FILE, Trainer
from .package import ROWS, note_gate, package, seconds_spent
from .plan import NOISY_LENGTH, Plan
from .rehearsal import REHEARSED

if TYPE_CHECKING:
    from ..evaluation.gate import GateReport

WORK, LOCK_FILE, PLAN_FILE = "work", "lock", "plan.sha256"
THROUGH_FILE = "through"
"""Holds the minutes of a run that spent them: started again with no more it only measures, the very same weights."""
LEAST_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A package, and whether its run was ended by hand before it was through."""

    made: Provenance
    ended_early: bool


def train(
    plan: Plan, out: Path, name: str, on_progress: Callable[[dict[str, Any]], None] = lambda record: None
) -> Trained | None:
    """Train, or go on with a run that was ended early, and write the package to `out`.

    Of several processes (`torchrun`) the leading one writes and returns; the others return None.

    Raises:
        ValueError: `out` is in use or holds another run, the loss is no longer finite, or a process was killed.
        OSError: files cannot be written; what was saved stays.
    """
    work = out / WORK
    ended_early = False
    processes = Processes(plan.config.device)
    with _alone(work) if leads() else contextlib.nullcontext():
        if leads():
            _same_plan(work, plan)
            _write_rows(work / ROWS, plan)
        processes.meet()
        metrics = work / METRICS_FILE
        budget = 60.0 * plan.config.minutes - seconds_spent(metrics)
        resumed = (work / (WEIGHTS_FILE if plan.config.full else FACTORS_FILE)).exists()
        if not resumed or (budget >= LEAST_SECONDS and plan.config.minutes > _minutes_spent(work)):
            start = work if plan.config.full and resumed else plan.config.base
            helped = plan.followers()
            config = _stage_config(plan, work, name, max(budget, LEAST_SECONDS), start, processes.count + helped)
            weights = AllWeights() if plan.config.full else LoraWeights(plan.config.lora, work if resumed else None)
            if config.max_steps:  # else it is through
                with followers(helped, _trained, config, weights):
                    ended_early = _trained(config, weights, on_progress)
        if not leads():
            return None
        if not ended_early:
            write_beside(work / THROUGH_FILE, f"{plan.config.minutes}\n".encode())
        return Trained(made=package(plan, work, out, name), ended_early=ended_early)


def _trained(
    config: JointConfig, weights: TrainedWeights, on_progress: Callable[[dict[str, Any]], None] = lambda record: None
) -> bool:
    """Whether it was ended early."""
    trainer = Trainer(config, JointStage(config), weights)
    trainer.run(on_progress)
    return trainer.ended_early


def judge(
    plan: Plan,
    out: Path,
    made: Provenance,
    *,
    most: int,
    most_lines: int | None = None,
    on_cases: Callable[[int], Callable[[Any], None]] = lambda total: lambda _: None,
) -> GateReport:
    """The gate: measure the package in `out`, and write into it what was found.

    Args:
        most: cases of each kind.
        most_lines: of lines, if more of them.

    Raises:
        NothingToJudgeBy: the later commits hold no case.
        ValueError: `out` is in use, or a task file cannot be read.
    """
    from .gate import judge_package, result_of

    with _alone(out / WORK):
        report = judge_package(plan, out, out / WORK, most=most, most_lines=most_lines, on_cases=on_cases)
        note_gate(out, made, result_of(report))
        return report


def _stage_config(plan: Plan, work: Path, name: str, seconds: float, start: Path, processes: int) -> JointConfig:
    """Stage B, over holes and edits; blocks of the size that the base is decoded with."""
    config = plan.config
    rows_per_step = -(-config.rows_per_step // processes) * processes
    return JointConfig(
        start=start,
        out=work,
        rows=work / ROWS,
        name=name,
        seconds=seconds,
        device=config.device,
        rows_per_step=rows_per_step,
        micro_batches=processes,
        shard=config.shard,
        compile=_compiled(plan),
        learning_rate=plan.learning_rate,
        warmup_steps=config.warmup_steps,
        decay_share=0.5,
        evaluate_every=config.save_every,
        held_out_rows=config.judged_rows,
        max_steps=-(-_rows_left(work, plan) // rows_per_step),
        corruption=CorruptionConfig(block_size=ModelConfig.load(config.base).block_size, noisy_length=NOISY_LENGTH),
        seed=config.seed,
    )


def _compiled(plan: Plan) -> bool:
    return plan.config.compile if plan.config.compile is not None else plan.is_long and can_compile()


def _minutes_spent(work: Path) -> float:
    """Of a run that is through."""
    try:
        return float((work / THROUGH_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return 0.0


def _rows_left(work: Path, plan: Plan) -> int:
    """Of all epochs."""
    whole = len(RowStore(work / ROWS, seed=plan.config.seed))
    return max(0, whole - History.of(work, JointStage.name).rows)


def _write_rows(directory: Path, plan: Plan) -> None:
    """Packed once, the team's apart from others'; what is there already is kept, and checked when it is read."""
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
        beside = directory / f"{path.name}{REHEARSED}"
        if not beside.exists() and len(rows := plan.rehearsed_rows(tokenizer, epoch, len(load_rows(path)))):
            save_rows(beside, rows)


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
