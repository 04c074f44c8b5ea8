"""Infilling cases: fill the hole greedily, run the program with its tests, count what passes.

One line of a task file is a JSON object with `task_id`, `entry_point`, `prompt` (text before the hole), `suffix` (text
after it), `canonical_solution` and `test` (defines `check(candidate)`).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from diffill.model.decoding_turn import Decoder
from diffill.model.fim import cut_before_cursor
from diffill.model.request import DecodeRequest, Mode, pack_ids, unpack_ids
from diffill.model.tokenizer import Tokenizer

from .judgement import Judgement, Report, report, timed_decode
from .sandbox import Limits, run_program
from .tasks import read_tasks


class InfillingCase(msgspec.Struct, frozen=True, kw_only=True):
    """One hole in one program. Further fields of a task file are ignored."""

    task_id: str
    entry_point: str
    prompt: str
    suffix: str
    canonical_solution: str
    test: str

    def program(self, middle: str) -> str:
        """The complete program, tests included."""
        return f"{self.prompt}{middle}{self.suffix}\n{self.test}\ncheck({self.entry_point})\n"

    def trivial_middles(self) -> list[str]:
        """Nothing, and a `pass` wherever the text around the hole says one may stand: what needs no model."""
        before = next((line for line in reversed(self.prompt.splitlines()) if line.strip()), "")
        after = next((line for line in self.suffix.splitlines() if line.strip()), "")
        indentations = {_indentation(before), _indentation(before) + "    ", _indentation(after)}
        return ["", *(f"{indentation}pass\n" for indentation in sorted(indentations))]


def load_cases(path: Path, *, limit: int | None = None) -> list[InfillingCase]:
    """The first `limit` cases of a task file. Raises ValueError with one line that names what is wrong."""
    return read_tasks(path, InfillingCase, limit=limit)


def judge_infilling(
    case: InfillingCase,
    decoder: Decoder,
    tokenizer: Tokenizer,
    *,
    mode: Mode,
    max_tokens: int,
    limits: Limits | None = None,
) -> Judgement:
    """Fill one hole greedily and run the program.

    Raises:
        ValueError: the decoder cannot serve `max_tokens`.
    """
    cut = cut_before_cursor(case.prompt)
    request = DecodeRequest(
        prompt=pack_ids(cut.prompt(case.suffix, tokenizer)),
        mode=mode,
        max_tokens=max_tokens,
        starts_with_space=cut.space,
    )
    answer, milliseconds = timed_decode(decoder, request)
    ids = unpack_ids(answer.tokens)
    text = cut.answer(tokenizer.decode(ids))
    return Judgement(
        task_id=case.task_id,
        passed=_passes(case, text, limits),
        exact=text.rstrip() == case.canonical_solution.rstrip(),
        tokens=len(ids),
        forward_passes=answer.forward_passes,
        milliseconds=milliseconds,
        text=text,
    )


def evaluate_infilling(
    cases: Sequence[InfillingCase],
    decoder: Decoder,
    tokenizer: Tokenizer,
    *,
    mode: Mode,
    max_tokens: int,
    seed: int,
    limits: Limits | None = None,
    on_case: Callable[[Judgement], None] = lambda judgement: None,
) -> Report:
    """Decode, run and count. `seed` draws the bootstrap samples; decoding itself is greedy.

    Raises:
        ValueError: there are no cases, or the decoder cannot serve `max_tokens`.
    """
    judgements, floor = [], []
    for case in cases:
        judgements.append(judge_infilling(case, decoder, tokenizer, mode=mode, max_tokens=max_tokens, limits=limits))
        floor.append(any(_parses(case, middle) and _passes(case, middle, limits) for middle in case.trivial_middles()))
        on_case(judgements[-1])
    return report(
        "infilling",
        judgements,
        mode=mode,
        info=decoder.info,
        seed=seed,
        floor=sum(floor) / max(1, len(floor)),
    )


def _passes(case: InfillingCase, middle: str, limits: Limits | None) -> bool:
    return run_program(case.program(middle), limits=limits) == "passed"


def _parses(case: InfillingCase, middle: str) -> bool:
    """Whether the program is worth a process of its own; most trivial middles are syntax errors."""
    try:
        ast.parse(case.program(middle))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _indentation(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]
