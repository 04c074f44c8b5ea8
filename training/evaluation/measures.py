"""What the gate measures: named sets of cases, each with the function that decodes and judges one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from diffill.model.decoding_turn import Decoder
from diffill.model.request import Mode
from diffill.model.tokenizer import Tokenizer

from .holes import Hole, judge_hole, punch_holes
from .infilling import judge_infilling, load_cases
from .judgement import Judgement
from .ledger import fingerprint
from .repair import PARTS, PartName, Repair, judge_repair, load_repairs

MAX_MIDDLE_TOKENS = 256
"""Longest middle of the infilling sets: 859 characters."""


class TaskSet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task file, or a repository to take lines out of."""

    path: Path
    limit: int | None = None
    """Only so many cases: the first of a file, a seeded sample of a repository's lines."""


class RepairSet(TaskSet, frozen=True, kw_only=True, forbid_unknown_fields=True):
    parts: tuple[PartName, ...] = PARTS


class MeasureConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cases by the name that the report gives them."""

    infilling: dict[str, TaskSet] = {}
    holes: dict[str, TaskSet] = {}
    repair: dict[str, RepairSet] = {}


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Cases that are judged in the same way."""

    name: str
    cases: Sequence[Any]
    judge: Callable[[Any, Decoder, Tokenizer, Mode], Judgement]

    def fingerprint(self, case: Any) -> str:
        return fingerprint(self.name, case)


def measures(config: MeasureConfig, *, limit: int | None, seed: int) -> list[Measure]:
    """Everything that is measured in every mode, in the order of the report.

    Args:
        limit: caps every set at so many cases.

    Raises:
        ValueError: a task file or a repository cannot be read; one line that names it.
    """

    def cap(tasks: TaskSet) -> int | None:
        return min((value for value in (tasks.limit, limit) if value is not None), default=None)

    found: list[Measure] = []
    for name, tasks in config.infilling.items():
        found.append(Measure(name=name, cases=load_cases(tasks.path, limit=cap(tasks)), judge=_infilling))
    for name, tasks in config.holes.items():
        punched = punch_holes(tasks.path, count=cap(tasks) or 300, seed=seed)
        found.append(hole_measure(name, punched))
    for name, repair_set in config.repair.items():
        repairs = load_repairs(repair_set.path, limit=cap(repair_set))
        for part in repair_set.parts:
            cases = [repair for repair in repairs if repair.part == part]
            if cases:
                found.append(repair_measure(f"{name} {part}", cases))
    return found


def hole_measure(name: str, cases: Sequence[Hole]) -> Measure:
    return Measure(name=name, cases=cases, judge=_hole)


def repair_measure(name: str, cases: Sequence[Repair]) -> Measure:
    return Measure(name=name, cases=cases, judge=_repair)


def _infilling(case: Any, decoder: Decoder, tokenizer: Tokenizer, mode: Mode) -> Judgement:
    return judge_infilling(case, decoder, tokenizer, mode=mode, max_tokens=MAX_MIDDLE_TOKENS)


def _hole(case: Any, decoder: Decoder, tokenizer: Tokenizer, mode: Mode) -> Judgement:
    return judge_hole(case, decoder, tokenizer, mode=mode)


def _repair(case: Any, decoder: Decoder, tokenizer: Tokenizer, mode: Mode) -> Judgement:
    return judge_repair(case, decoder, tokenizer, mode=mode)
