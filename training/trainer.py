"""The training loop: one command for CPU and GPU, stopped by the wall clock, resumed from weights."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import msgspec
import numpy as np
import torch

from diffill.model.checkpoint import dequantize, load_checkpoint, save_checkpoint
from diffill.model.device import choose_device
from diffill.model.masks import StreamLayout
from diffill.model.tokenizer import Tokenizer
from diffill.model.transformer import Transformer

from .config import dump_config
from .corruption import Batch, CorruptionConfig, corrupt
from .loss import hidden_states, joint_loss
from .packing import Rows, load_rows
from .schedule import CLIP_NORM, optimizer, rate


class TrainConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stage."""

    start: Path
    """Checkpoint directory that the stage starts from; a former run's `out` resumes it by weights."""
    rows: Path
    """Directory of packed rows: `train-*` and `held-out`."""
    out: Path
    name: str
    seconds: float
    """Wall-clock budget, measured from the first step; the learning rate decays with it."""
    device: str = "cpu"
    rows_per_step: int = 4
    micro_batches: int = 1
    """Gradient accumulation: a step is split into so many passes."""
    learning_rate: float = 3e-4
    warmup_steps: int = 30
    decay_share: float = 0.7
    weight_decay: float = 0.0
    denoising_weight: float = 0.7
    corruption: CorruptionConfig = CorruptionConfig()
    evaluate_every: float = 600.0
    """Seconds between held-out measurements; weights are saved after each."""
    held_out_rows: int = 48
    max_steps: int = 1_000_000_000
    compile: bool = False
    seed: int = 0


class Interrupted(Exception):
    """Raised by `on_progress` to stop early; the weights so far are saved."""


class NotFiniteError(Exception):
    """The loss or its gradient is not a number."""


class Trainer:
    """Owns the weights, the optimizer and the files of one run."""

    def __init__(self, config: TrainConfig) -> None:
        for name in ("seconds", "rows_per_step", "micro_batches", "max_steps"):
            if not getattr(config, name) > 0:
                raise ValueError(f"{name}: {getattr(config, name)} is not positive")
        if config.rows_per_step % config.micro_batches:
            raise ValueError(
                f"rows_per_step: {config.rows_per_step} is not a multiple of micro_batches {config.micro_batches}"
            )
        self.config = config
        self.device, _ = choose_device(config.device)
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
        self.optimizer = optimizer(self.model, weight_decay=config.weight_decay)
        self.shards = [load_rows(path) for path in sorted(config.rows.glob("train-*"))]
        if not self.shards:
            raise ValueError(f"rows: {config.rows} holds no train-* shard")
        if (count := sum(map(len, self.shards))) < config.rows_per_step:
            raise ValueError(f"rows: {config.rows} holds {count} rows, fewer than rows_per_step {config.rows_per_step}")
        held_out = config.rows / "held-out"
        self.held_out = load_rows(held_out) if held_out.exists() else None
        self.forward = torch.compile(hidden_states, dynamic=False) if config.compile else hidden_states
        self.step = 0
        self.tokens = 0

    def run(self, on_progress: Callable[[dict[str, Any]], None] = lambda metrics: None) -> dict[str, Any]:
        """Train until the budget is spent; returns the last held-out measurement.

        Raises:
            ValueError: the loss is no longer finite; the step is named, and the last good weights are on disk.
        """
        config = self.config
        config.out.mkdir(parents=True, exist_ok=True)
        (config.out / "run.json").write_bytes(dump_config(config))
        with (config.out / "metrics.jsonl").open("a", encoding="utf-8") as metrics:
            self._record(metrics, {"held_out": self.evaluate(), "step": 0, "tokens": 0})
            began = evaluated = time.monotonic()
            try:
                for batch_rows in self._steps():
                    elapsed = time.monotonic() - began
                    progress = max(elapsed / config.seconds, self.step / config.max_steps)
                    if progress >= 1.0:
                        break
                    record = self._update(batch_rows, progress)
                    record |= {
                        "elapsed": round(time.monotonic() - began, 1),
                        "progress": round(progress, 4),
                        "tokens_per_second": round(self.tokens / (time.monotonic() - began), 1),
                    }
                    self._record(metrics, record)
                    on_progress(record)
                    if time.monotonic() - evaluated > config.evaluate_every:
                        self._record(metrics, {"held_out": self.evaluate(), "step": self.step, "tokens": self.tokens})
                        self.save()
                        evaluated = time.monotonic()
            except NotFiniteError as error:
                with contextlib.suppress(ValueError):  # weights that are not finite are not written
                    self.save()  # the step that failed has changed nothing
                raise ValueError(f"{error}; {config.out} holds the last good weights") from None
            except (Interrupted, KeyboardInterrupt):
                pass  # what was learned is kept, as at the end of the budget
            self.save()
            last = {"held_out": self.evaluate(), "step": self.step, "tokens": self.tokens}
            self._record(metrics, last)
        return last

    def save(self) -> None:
        """Write the fp32 weights beside the old ones and rename."""
        weights = {name: tensor.detach().cpu() for name, tensor in self.model.state_dict().items()}
        save_checkpoint(
            self.config.out,
            config=dataclasses.replace(self.model_config, name=self.config.name),
            weights=weights,
            tokenizer=self.tokenizer,
            dtype=torch.float32,
        )

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Held-out losses in nats; the same corruption every time, so that runs compare."""
        if self.held_out is None:
            return {}
        generator = np.random.default_rng(0)
        totals: dict[str, list[float]] = {"causal": [], "denoising": []}
        self.model.eval()
        for at in range(0, min(self.config.held_out_rows, len(self.held_out)), 4):
            batch = self._to_device(
                corrupt(
                    _take(self.held_out, np.arange(at, min(at + 4, len(self.held_out)))),
                    self.config.corruption,
                    generator,
                )
            )
            with self._autocast():
                losses = joint_loss(self.model, batch)
            totals["causal"].append(float(losses.causal))
            totals["denoising"].append(float(losses.denoising))
        self.model.train()
        return {name: round(float(np.mean(values)), 4) for name, values in totals.items()}

    def _update(self, rows: Rows, progress: float) -> dict[str, Any]:
        """One optimizer step over `rows`."""
        config = self.config
        generator = np.random.default_rng((config.seed, self.step))
        lr = rate(
            peak=config.learning_rate,
            step=self.step,
            warmup_steps=config.warmup_steps,
            progress=progress,
            decay_share=config.decay_share,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        share = config.rows_per_step // config.micro_batches
        causal = denoising = 0.0
        for part in range(config.micro_batches):
            batch = self._to_device(
                corrupt(_take(rows, np.arange(part * share, (part + 1) * share)), config.corruption, generator)
            )
            with self._autocast():
                losses = joint_loss(self.model, batch, self.forward)
            total = losses.total(config.denoising_weight) / config.micro_batches
            total.backward()  # type: ignore[no-untyped-call]
            causal += float(losses.causal.detach()) / config.micro_batches
            denoising += float(losses.denoising.detach()) / config.micro_batches
            self.tokens += batch.tokens.numel()
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM))
        if not math.isfinite(causal + denoising + norm):
            raise NotFiniteError(f"loss is not finite at step {self.step} (seed {config.seed})")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return {
            "step": self.step,
            "tokens": self.tokens,
            "causal": round(causal, 4),
            "denoising": round(denoising, 4),
            "learning_rate": lr,
            "gradient_norm": round(norm, 3),
        }

    def _steps(self) -> Iterator[Rows]:
        """Rows of each step, all shards mixed, shuffled anew every epoch."""
        generator = np.random.default_rng(self.config.seed)
        places = np.array([(shard, row) for shard, rows in enumerate(self.shards) for row in range(len(rows))])
        while True:
            generator.shuffle(places)
            for at in range(0, len(places) - self.config.rows_per_step + 1, self.config.rows_per_step):
                chosen = places[at : at + self.config.rows_per_step]
                picked = [_take(self.shards[shard], np.array([row])) for shard, row in chosen]
                yield Rows(
                    tokens=np.concatenate([rows.tokens for rows in picked]),
                    document=np.concatenate([rows.document for rows in picked]),
                    middle=np.concatenate([rows.middle for rows in picked]),
                )

    def _to_device(self, batch: Batch) -> Batch:
        if self.device == "cpu":
            return batch

        def move(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.pin_memory().to(self.device, non_blocking=True)

        return Batch(
            tokens=move(batch.tokens),
            positions=move(batch.positions),
            layout=StreamLayout(
                document=move(batch.layout.document), block=move(batch.layout.block), order=move(batch.layout.order)
            ),
            target=move(batch.target),
            weight=move(batch.weight),
            clean_length=batch.clean_length,
        )

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device, dtype=torch.bfloat16)

    def _record(self, stream: TextIO, record: dict[str, Any]) -> None:
        stream.write(json.dumps(record) + "\n")
        stream.flush()


def _take(rows: Rows, index: np.ndarray) -> Rows:
    return Rows(tokens=rows.tokens[index], document=rows.document[index], middle=rows.middle[index])
