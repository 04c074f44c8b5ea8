"""Decoding settings that suit a checkpoint: every setting answers the same held-out holes, in turn.

Quality against tokens per forward over all settings is the speed-quality front of the report. Benchmarks never come in
here: a setting that was chosen on them would say nothing on them.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from diffill.model.config import CONFIG_FILE, ModelConfig
from diffill.model.decoder_loading import load_decoder
from diffill.model.request import Mode, ModelInfo
from diffill.model.tokenizer import Tokenizer

from .holes import judge_hole, punch_holes
from .judgement import Judgement, part

Setting = int | float | None


class SweepConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings to try. Each mode takes the product of its lists."""

    repositories: tuple[Path, ...]
    """Held-out source trees, never a benchmark."""
    count: int = 100
    """Holes over all repositories."""
    draft_size: tuple[int, ...] = (0, 1, 2, 3, 5)
    """0 is tried once: without a block no threshold counts."""
    draft_threshold: tuple[float, ...] = (0.1, 0.3, 0.6)
    threshold: tuple[float, ...] = (0.4, 0.6, 0.8, 0.95)
    revise_threshold: tuple[float | None, ...] = (None, 0.9)
    tolerance: float = 0.01
    """`diffusion` takes the fastest setting that loses at most this share of the cases against its best one."""
    device: str = "auto"
    seed: int = 0


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One setting, measured."""

    mode: Mode
    settings: dict[str, Setting]
    n: int
    rate: float
    ci95: tuple[float, float]
    tokens_per_forward: float
    milliseconds: float
    chosen: bool = False

    @property
    def label(self) -> str:
        words = (f"{name} {'off' if value is None else value}" for name, value in self.settings.items())
        return ", ".join(words) or "-"


class SweepReport(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON form of `diffill eval sweep`."""

    suite: str = "sweep"
    n: int
    points: list[Point]
    best: dict[str, Setting]
    """What `--write` puts into `config.json`."""
    model: ModelInfo
    device: str


class Sweeper:
    """Raises ValueError when a repository or the checkpoint cannot be read."""

    def __init__(self, config: SweepConfig, checkpoint: Path, tokenizer: Tokenizer) -> None:
        if not config.repositories:
            raise ValueError("repositories: none is named")
        self.config, self.tokenizer = config, tokenizer
        share = -(-config.count // len(config.repositories))
        holes = [hole for path in config.repositories for hole in punch_holes(path, count=share, seed=config.seed)]
        self.holes = holes[: config.count]
        self.decoder = load_decoder(checkpoint=checkpoint, device=config.device)
        self.candidates = list(_candidates(config))

    @property
    def cases(self) -> int:
        return len(self.holes) * len(self.candidates)

    def run(self, *, on_case: Callable[[Judgement], None] = lambda judgement: None) -> SweepReport:
        """Every hole under every setting, settings in turn, so that a slow minute of the machine is shared by all."""
        network = self.decoder.network
        own = network.config
        judged: list[list[Judgement]] = [[] for _ in self.candidates]
        for hole in self.holes:
            for (mode, settings), results in zip(self.candidates, judged, strict=True):
                network.config = dataclasses.replace(own, **settings)
                results.append(judge_hole(hole, self.decoder, self.tokenizer, mode=mode))
                on_case(results[-1])
        network.config = own
        points = [self._point(*candidate, results) for candidate, results in zip(self.candidates, judged, strict=True)]
        chosen = [_fastest_answers(points), _most_parallel(points, self.config.tolerance)]
        return SweepReport(
            n=len(self.holes),
            points=[msgspec.structs.replace(point, chosen=point in chosen) for point in points],
            best={name: value for point in chosen for name, value in point.settings.items()},
            model=self.decoder.info,
            device=self.decoder.info.device,
        )

    def _point(self, mode: Mode, settings: dict[str, Any], results: Sequence[Judgement]) -> Point:
        whole = part(results, seed=self.config.seed)
        return Point(
            mode=mode,
            settings=settings,
            n=whole.n,
            rate=whole.rate,
            ci95=whole.ci95,
            tokens_per_forward=whole.tokens_per_forward,
            milliseconds=whole.milliseconds,
        )


def write_settings(checkpoint: Path, settings: dict[str, Setting]) -> None:
    """Put decoding settings into a checkpoint's `config.json`; the weights stay as they are.

    Raises:
        ValueError: the configuration cannot be read, or a setting is impossible.
    """
    changes: dict[str, Any] = dict(settings)
    config = dataclasses.replace(ModelConfig.load(checkpoint), **changes)
    beside = checkpoint / f".{CONFIG_FILE}.part"
    beside.write_text(config.to_json(), "utf-8")
    beside.replace(checkpoint / CONFIG_FILE)


def _candidates(config: SweepConfig) -> list[tuple[Mode, dict[str, Any]]]:
    drafts = [
        (size, least)
        for size, least in itertools.product(config.draft_size, config.draft_threshold)
        if size or least == config.draft_threshold[0]
    ]
    thresholds = itertools.product(config.threshold, config.revise_threshold)
    return [
        ("ar", {}),
        *(("verify", {"draft_size": size, "draft_threshold": least}) for size, least in drafts),
        *(("diffusion", {"threshold": place, "revise_threshold": revise}) for place, revise in thresholds),
    ]


def _fastest_answers(points: Sequence[Point]) -> Point:
    """`verify` answers the same whatever its drafts: what counts is time, and a wider draft costs some."""
    return min((point for point in points if point.mode == "verify"), key=lambda point: point.milliseconds)


def _most_parallel(points: Sequence[Point], tolerance: float) -> Point:
    own = [point for point in points if point.mode == "diffusion"]
    enough = max(point.rate for point in own) - tolerance
    return max((point for point in own if point.rate >= enough), key=lambda point: point.tokens_per_forward)
