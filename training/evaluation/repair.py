"""Repairs: what is wrong is shown to the model, and its answer is run, linted and compared.

Two kinds of task files, told apart by their first line: functions with a bug and tests (`declaration`,
`buggy_solution`, `canonical_solution`, `test`), and edit pairs (`prefix`, `before`, `after`, `suffix`, `instruction`,
`language`, `kind`), where a pair of the kind `no-op` is code that is right.

Every case is measured in three ways: `located`, the region is the lines that are wrong; `unlocated`, the region is the
whole function or pair; `no-op`, the region is right already and must come back unchanged.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Literal

import msgspec

from diffill.model.decoding_turn import Decoder
from diffill.model.edit_prompt import EditRegion
from diffill.model.request import MAX_NEW_TOKENS, DecodeRequest, Mode, pack_ids, unpack_ids
from diffill.model.tokenizer import Tokenizer

from ..diagnostics import diagnose
from .judgement import Judgement, Report, part, report, timed_decode
from .sandbox import Language, Limits, run_program
from .tasks import read_tasks

PartName = Literal["located", "unlocated", "no-op"]
PARTS: tuple[PartName, ...] = ("located", "unlocated", "no-op")
GROWTH = 1.5
SPARE_TOKENS = 32
"""An answer may have this many tokens more than 1.5 times the region."""


class BuggyFunction(msgspec.Struct, frozen=True, kw_only=True):
    """A function with a bug. Further fields of a task file are ignored."""

    task_id: str
    declaration: str
    buggy_solution: str
    canonical_solution: str
    test: str


class FaultPair(msgspec.Struct, frozen=True, kw_only=True):
    """A region before and after an edit. Further fields of a task file are ignored."""

    prefix: str
    before: str
    after: str
    suffix: str
    instruction: str = ""
    language: str = "python"
    kind: str = "fault"
    source: str = ""


class _Either(msgspec.Struct):
    before: str | None = None


@dataclass(frozen=True, kw_only=True)
class Repair:
    """One region that is wrong, or right and to be left alone."""

    task_id: str
    part: PartName
    region: EditRegion
    expected: str
    instruction: str
    language: str
    test: str | None = None
    """Source that follows the program and raises when it is wrong."""

    def document(self, updated: str) -> str:
        return self.region.prefix + updated + self.region.suffix


def load_repairs(path: Path, *, limit: int | None = None) -> list[Repair]:
    """All repairs of the first `limit` tasks of a file (all of them when None).

    Raises:
        ValueError: the file cannot be read or holds no task, or a line is not one; the line and the field are named.
    """
    if read_tasks(path, _Either, limit=1)[0].before is None:
        return [repair for task in read_tasks(path, BuggyFunction, limit=limit) for repair in _of_function(task)]
    pairs = read_tasks(path, FaultPair, limit=limit)
    return [
        repair for line, pair in enumerate(pairs, start=1) for repair in repairs_of_pair(pair, f"{pair.source}#{line}")
    ]


def judge_repair(
    repair: Repair, decoder: Decoder, tokenizer: Tokenizer, *, mode: Mode, limits: Limits | None = None
) -> Judgement:
    """Revise one region greedily, then run, lint or compare it.

    A region with tests passes when they pass; one with a diagnostic when it is gone, no new one came and the region was
    not just deleted; any other when it is the expected text. Correct code passes when not a character has changed.
    """
    try:
        prompt = repair.region.prompt(repair.instruction, tokenizer)
    except ValueError:  # longer than can be revised at once: the product would offer nothing
        return _judge(repair, repair.region.original, limits, tokens=0, forward_passes=0, milliseconds=0.0)
    request = DecodeRequest(
        prompt=pack_ids(prompt.ids),
        draft=pack_ids(prompt.draft),
        mode=mode,
        max_tokens=min(MAX_NEW_TOKENS, int(GROWTH * len(prompt.draft)) + SPARE_TOKENS),
        priority="repair",
    )
    answer, milliseconds = timed_decode(decoder, request)
    ids = unpack_ids(answer.tokens)
    text = tokenizer.decode(ids)
    if repair.region.original.endswith("\n") and text and not text.endswith("\n"):
        text += "\n"
    return _judge(
        repair, text, limits, tokens=len(ids), forward_passes=answer.forward_passes, milliseconds=milliseconds
    )


def evaluate_repairs(
    repairs: Sequence[Repair],
    decoder: Decoder,
    tokenizer: Tokenizer,
    *,
    mode: Mode,
    seed: int,
    limits: Limits | None = None,
    on_case: Callable[[Judgement], None] = lambda judgement: None,
) -> Report:
    """Revise and judge every region; the report's own figures are those of its first part.

    Raises:
        ValueError: there are no repairs.
    """
    judged: dict[PartName, list[Judgement]] = {}
    for repair in repairs:
        judgement = judge_repair(repair, decoder, tokenizer, mode=mode, limits=limits)
        judged.setdefault(repair.part, []).append(judgement)
        on_case(judgement)
    names = [name for name in PARTS if name in judged]
    return report(
        "repair",
        judged[names[0]] if names else [],
        mode=mode,
        info=decoder.info,
        seed=seed,
        parts={name: part(judged[name], seed=seed) for name in names},
    )


def _judge(
    repair: Repair, text: str, limits: Limits | None, *, tokens: int, forward_passes: int, milliseconds: float
) -> Judgement:
    exact = text.rstrip() == repair.expected.rstrip()
    cleared = None if repair.part == "no-op" or repair.test is not None else _cleared(repair, text)
    if repair.part == "no-op":
        passed = text == repair.region.original
    elif repair.test is not None:
        program = repair.document(text) + "\n" + repair.test
        passed = exact or run_program(program, language=_runnable(repair.language), limits=limits) == "passed"
    else:
        passed = exact if cleared is None else cleared
    return Judgement(
        task_id=repair.task_id,
        passed=passed,
        exact=exact,
        tokens=tokens,
        forward_passes=forward_passes,
        milliseconds=milliseconds,
        text=text,
        cleared=cleared,
    )


def _cleared(repair: Repair, text: str) -> bool | None:
    """Whether every diagnostic that the expected text clears is gone and none is new; None when it clears none.

    Code that is deleted has no fault either: where something should stand, nothing clears nothing.
    """
    texts = [repair.document(region) for region in (repair.region.original, repair.expected, text)]
    diagnosed = diagnose(texts, repair.language)
    if diagnosed is None:
        return None
    before, wanted, now = (collections.Counter(found.text for found in findings) for findings in diagnosed)
    if not (fault := before - wanted):
        return None
    if repair.expected.strip() and not text.strip():
        return False
    return not (now & fault) - wanted and not now - before


def _of_function(task: BuggyFunction) -> list[Repair]:
    language: Language = "javascript" if task.task_id.startswith("JavaScript") else "python"
    pair = FaultPair(
        prefix=task.declaration,
        before=task.buggy_solution,
        after=task.canonical_solution,
        suffix="",
        language=language,
    )
    return repairs_of_pair(pair, task.task_id, test=task.test)


def repairs_of_pair(pair: FaultPair, task_id: str, *, test: str | None = None) -> list[Repair]:
    """A pair asked in three ways, or in one where it changes nothing."""

    def repair(name: PartName, region: EditRegion, expected: str, instruction: str) -> Repair:
        return Repair(
            task_id=f"{task_id} {name}",
            part=name,
            region=region,
            expected=expected,
            instruction=instruction,
            language=pair.language,
            test=test,
        )

    right = EditRegion(prefix=pair.prefix, original=pair.after, suffix=pair.suffix)
    if pair.kind == "no-op" or pair.before == pair.after:
        return [repair("no-op", right, pair.after, pair.instruction)]
    whole = EditRegion(prefix=pair.prefix, original=pair.before, suffix=pair.suffix)
    lines, expected = changed_lines(whole, pair.after)
    return [
        repair("located", lines, expected, pair.instruction),
        repair("unlocated", whole, pair.after, pair.instruction),
        repair("no-op", right, pair.after, ""),
    ]


def changed_lines(whole: EditRegion, after: str) -> tuple[EditRegion, str]:
    """The lines of a region that differ from `after`, and what they become.

    Lines that are only added show up as a change of the line before them: an empty region gives nothing to revise.
    """
    old, new = whole.original.splitlines(keepends=True), after.splitlines(keepends=True)
    first = _shared(old, new)
    shared = _shared(old[first:][::-1], new[first:][::-1])
    if first + shared == len(old):
        first, shared = (first - 1, shared) if first else (first, max(0, shared - 1))
    last = len(old) - shared
    region = EditRegion(
        prefix=whole.prefix + "".join(old[:first]),
        original="".join(old[first:last]),
        suffix="".join(old[last:]) + whole.suffix,
    )
    return region, "".join(new[first : len(new) - shared])


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the common start."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _runnable(language: str) -> Language:
    return "javascript" if language in ("javascript", "js") else "python"
