"""The training loop: one for every stage, CPU and GPU, stopped by the wall clock, resumed from weights."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TextIO

import msgspec
import numpy as np
import torch

from diffill.model.checkpoint import dequantize, load_checkpoint
from diffill.model.device import choose_device
from diffill.model.tokenizer import Tokenizer
from diffill.model.transformer import Transformer

from .batch import Batch, normalised
from .compilation import compile_layers
from .config import dump_config
from .history import History
from .loss import hidden_states
from .memory import keep_freed_memory
from .prefetch import ahead
from .processes import Processes, leads
from .schedule import CLIP_NORM, optimizer, rate
from .sharding import WHOLE_PASSES, clipped, shard, trained_weights
from .stage import Stage, Turn
from .throughput import peak_flops, training_flops
from .trained_weights import AllWeights, TrainedWeights

RUN_FILE, METRICS_FILE = "run.json", "metrics.jsonl"


class TrainConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every stage is told; a stage adds its own."""

    start: Path
    """Checkpoint directory that the stage starts from; a former run's `out` resumes it."""
    out: Path
    name: str
    seconds: float
    """Wall-clock budget of the whole run, compilation included; the learning rate decays with it."""
    device: str = "cpu"
    rows_per_step: int = 4
    micro_batches: int = 1
    """A step is split into so many passes, which the processes share out: gradient accumulation."""
    learning_rate: float = 3e-4
    warmup_steps: int = 30
    """Of each leg: the optimizer's state does not travel with the weights."""
    decay_share: float = 0.2
    """Last share of the budget, over which the learning rate falls to zero."""
    weight_decay: float = 0.0
    evaluate_every: float = 600.0
    """Seconds between held-out measurements; weights are saved after each."""
    held_out_rows: int = 48
    max_steps: int = 1_000_000_000
    """Of this leg."""
    compile: bool = False
    shard: bool = False
    """Each of several processes holds its share of the weights, gradients and moments (FSDP2), not all of them."""
    prefetch: int = 2
    """Steps whose batches are made ahead; 0 for a stage whose batches depend on the weights."""
    seed: int = 0


class Interrupted(Exception):
    """Raised by `on_progress` to stop early; the weights so far are saved."""


class NotFiniteError(Exception):
    """The loss or its gradient is not a number."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """One step's batches, ready for the device."""

    batches: Sequence[Batch]
    """This process's."""
    tokens: int
    """Of all processes."""
    flops: float


class Trainer:
    """Owns the weights, the optimizer and the files of one run."""

    def __init__(self, config: TrainConfig, stage: Stage, weights: TrainedWeights | None = None) -> None:
        """
        Args:
            weights: which of them are trained; all by default.
        """
        for name in ("seconds", "rows_per_step", "micro_batches", "max_steps"):
            if not getattr(config, name) > 0:
                raise ValueError(f"{name}: {getattr(config, name)} is not positive")
        if config.rows_per_step % config.micro_batches:
            raise ValueError(
                f"rows_per_step: {config.rows_per_step} is not a multiple of micro_batches {config.micro_batches}"
            )
        self.config, self.stage, self.weights = config, stage, weights or AllWeights()
        self.device, _ = choose_device(config.device)
        self.processes = Processes(self.device)
        if config.micro_batches % self.processes.count:
            raise ValueError(
                f"micro_batches: {config.micro_batches} cannot be shared out among {self.processes.count} processes"
            )
        if config.shard and (self.processes.count == 1 or stage.name not in WHOLE_PASSES):
            raise ValueError(
                f"shard: it needs several processes, as `torchrun` starts them, and one of the stages "
                f"{', '.join(sorted(WHOLE_PASSES))}; here are {self.processes.count} and {stage.name}"
            )
        if self.device == "cpu":
            keep_freed_memory()
        torch.manual_seed(config.seed)
        torch.set_float32_matmul_precision("high")
        self.model_config, tensors = load_checkpoint(config.start)
        self.tokenizer = Tokenizer.load(config.start)
        self.model = Transformer(self.model_config)
        try:
            self.model.load_state_dict({name: tensor.float() for name, tensor in dequantize(tensors).items()})
        except RuntimeError as error:
            raise ValueError(
                f"start: {config.start} has weights of another shape: {str(error).splitlines()[-1].strip()}"
            ) from None
        self.model.to(self.device)
        self.weights.prepare(self.model)
        if config.shard:
            shard(self.model)
        self.optimizer = optimizer(self.model, weight_decay=config.weight_decay)
        if config.compile:
            compile_layers(self.model)
        self.forward = hidden_states
        self.peak_flops = peak_flops(self.device)
        self.before = self.weights.before(config.start, config.out, stage.name)
        self.step = 0
        self.tokens = 0
        self.ended_early = False
        """By hand, before the budget was spent."""

    def run(self, on_progress: Callable[[dict[str, Any]], None] = lambda metrics: None) -> dict[str, Any]:
        """Train until the budget is spent; returns the last held-out measurement.

        Raises:
            ValueError: the loss is no longer finite; the step is named, and the last good weights are on disk.
        """
        config = self.config
        began = evaluated = finished = time.monotonic()
        config.out.mkdir(parents=True, exist_ok=True)
        if leads():
            (config.out / RUN_FILE).write_bytes(dump_config(config))
        rates: list[float] = []
        with (
            (config.out / METRICS_FILE if leads() else Path(os.devnull)).open("a", encoding="utf-8") as metrics,
            contextlib.closing(ahead(self._work, depth=config.prefetch)) as steps,
        ):
            self._record(metrics, self._measured())
            try:
                while (progress := self._progress(began)) < 1.0:
                    work = next(steps)
                    record = self._update(work, progress)
                    began_step, finished = finished, time.monotonic()
                    rates.append(1.0 / (finished - began_step))
                    record |= {
                        "elapsed": round(finished - began, 1),
                        "progress": round(progress, 4),
                        **self._speed(work, rates[-1]),
                    }
                    self._record(metrics, record)
                    try:
                        on_progress(record)
                    except Interrupted:
                        self.ended_early = True  # what was learned is kept, as at the end of the budget
                    if self.processes.follow(time.monotonic() - evaluated) > config.evaluate_every:
                        self._record(metrics, self._measured())
                        self.save()
                        evaluated = finished = time.monotonic()
            except NotFiniteError as error:
                with contextlib.suppress(ValueError):  # weights that are not finite are not written
                    self.save()  # the step that failed has changed nothing
                raise ValueError(f"{error}; {config.out} holds the last good weights") from None
            except KeyboardInterrupt:
                self.ended_early = True
            self.save()
            last = self._measured() | (self._speed(work, median(rates)) if rates else {})
            self._record(metrics, last)
        return last

    def save(self) -> None:
        """Write what is trained and its history beside the old ones and rename; the leading process does it."""
        learned = trained_weights(self.model)
        if not leads():
            return
        history = self.history()
        self.weights.save(
            self.config.out,
            learned,
            config=self.stage.decoding(dataclasses.replace(self.model_config, name=self.config.name), history.steps),
            tokenizer=self.tokenizer,
            history=history,
        )

    def history(self) -> History:
        """What the weights in memory have been through in this stage."""
        return History(
            stage=self.stage.name,
            legs=self.before.legs + 1,
            steps=self.before.steps + self.step,
            rows=self.before.rows + self.step * self.config.rows_per_step,
            tokens=self.before.tokens + self.tokens,
        )

    def evaluate(self) -> dict[str, float]:
        """Held-out losses in nats; the same batches every time, so that runs compare."""
        batches = normalised(list(self.stage.held_out(self.config.rows_per_step // self.config.micro_batches)))
        sums: dict[str, torch.Tensor] = {}
        # Compiled, the pass is the one that training runs: without gradients it would be compiled once more.
        with torch.set_grad_enabled(self.config.compile):
            for batch, counts in self.processes.passes(batches):
                with self._autocast():
                    losses = self.stage.loss(self.model, batch.on(self.device), self.forward)
                for name, part in losses.parts.items():
                    sums[name] = counts * part + sums.get(name, 0.0)
        self.processes.add_up(sums.values())
        return {name: round(float(total), 4) for name, total in sums.items()}

    def _work(self, step: int) -> Work:
        """The batches of this leg's step `step`."""
        config, before = self.config, self.before
        share = config.rows_per_step // config.micro_batches
        batches = normalised(
            [
                self.stage.batch(
                    Turn(
                        step=before.steps + step,
                        first_row=before.rows + step * config.rows_per_step + part * share,
                        rows=share,
                        generator=np.random.default_rng((config.seed, before.steps + step, part)),
                    )
                )
                for part in range(config.micro_batches)
            ]
        )
        own = self.processes.part(batches)
        return Work(
            batches=[batch.pinned() for batch in own] if self.device == "cuda" else own,
            tokens=sum(batch.tokens.numel() for batch in batches),
            flops=sum(training_flops(self.model_config, batch) for batch in batches),
        )

    def _update(self, work: Work, progress: float) -> dict[str, Any]:
        """One optimizer step; the host waits for the device once, before the weights change."""
        config = self.config
        lr = rate(
            peak=config.learning_rate,
            step=self.step,
            warmup_steps=config.warmup_steps,
            progress=progress,
            decay_share=config.decay_share,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        sums: dict[str, torch.Tensor] = {}
        for batch in work.batches:
            with self._autocast():
                losses = self.stage.loss(self.model, batch.on(self.device), self.forward)
            losses.total.backward()  # type: ignore[no-untyped-call]
            for name, part in losses.parts.items():
                sums[name] = sums[name] + part if name in sums else part
        if not config.shard:  # shares of gradients are added up as they are made
            self.processes.add_up(p.grad for p in self.model.parameters() if p.grad is not None)
        self.processes.add_up(sums.values())
        sums["gradient_norm"] = clipped(self.model, CLIP_NORM)
        values = dict(zip(sums, torch.stack(list(sums.values())).tolist(), strict=True))
        if not all(map(math.isfinite, values.values())):
            first = self.before.rows + self.step * config.rows_per_step
            raise NotFiniteError(
                f"loss is not finite at step {self.step}: "
                f"rows {first} to {first + config.rows_per_step - 1} of the stage's order, seed {config.seed}"
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.tokens += work.tokens
        return {
            "step": self.step,
            "tokens": self.tokens,
            **{name: round(value, 4) for name, value in values.items()},
            "learning_rate": lr,
        }

    def _progress(self, began: float) -> float:
        """Share of the budget that is spent, the same in all processes."""
        spent = max((time.monotonic() - began) / self.config.seconds, self.step / self.config.max_steps)
        return self.processes.follow(math.inf if self.ended_early else spent)

    def _measured(self) -> dict[str, Any]:
        return {"held_out": self.evaluate(), "step": self.step, "tokens": self.tokens}

    def _speed(self, work: Work, steps_per_second: float) -> dict[str, float]:
        speed = {"tokens_per_second": round(work.tokens * steps_per_second, 1)}
        if self.peak_flops:
            speed["mfu"] = round(work.flops * steps_per_second / self.peak_flops, 4)
        return speed

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device, dtype=torch.bfloat16)

    def _record(self, stream: TextIO, record: dict[str, Any]) -> None:
        stream.write(json.dumps(record) + "\n")
        stream.flush()
