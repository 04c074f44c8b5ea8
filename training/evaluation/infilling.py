"""Infilling cases: fill the hole greedily, run the program with its tests, count what passes.

One line of a task file is a JSON object with `task_id`, `entry_point`, `prompt` (text before the hole), `suffix` (text
after it), `canonical_solution` and `test` (defines `check(candidate)`).
"""

from __future__ import annotations

import ast
import gzip
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from diffill.model.fim import cut_before_cursor
from diffill.model.request import Decoder, DecodeRequest, Mode, ModelInfo, pack_ids, unpack_ids
from diffill.model.tokenizer import Tokenizer

from .sandbox import Limits, run_program
from .statistics import bootstrap_interval

MAX_LINE_BYTES = 4 << 20


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


class CaseResult(msgspec.Struct, frozen=True, kw_only=True):
    task_id: str
    passed: bool
    text: str


class InfillingReport(msgspec.Struct, frozen=True, kw_only=True):
    """Quality over all cases, in the JSON form of `diffill eval infilling`."""

    suite: str = "infilling"
    mode: Mode
    n: int
    passed: int
    rate: float
    """Share of cases that pass their tests (greedy, one attempt)."""
    ci95: tuple[float, float]
    exact_match: float
    """Share of middles equal to the canonical one, trailing whitespace aside."""
    tokens_per_forward: float
    """New tokens over calls of the network after the prompt, over all cases; end-of-middle is not counted."""
    floor: float
    """Share of cases that already pass with an empty middle or `pass`."""
    cases: list[CaseResult]
    model: ModelInfo
    device: str


def load_cases(path: Path, *, limit: int | None = None) -> list[InfillingCase]:
    """The first `limit` cases (all of them when None), in the order of the file, which may be gzip-compressed.

    Raises:
        ValueError: the file cannot be read or holds no case, or a line is not a case; the line and the field are named.
    """
    try:
        with _open(path) as stream:
            cases = [
                case for index, case in enumerate(_parse(stream, path), start=1) if limit is None or index <= limit
            ]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"tasks: {path} is not a whole gzip file: {error}") from None
    except OSError as error:
        raise ValueError(f"tasks: cannot read {path}: {error.strerror or error}") from None
    if not cases:
        raise ValueError(f"tasks: {path} holds no case")
    return cases


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _parse(stream: BinaryIO, path: Path) -> Iterator[InfillingCase]:
    decoder = msgspec.json.Decoder(InfillingCase)
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise ValueError(f"tasks: {path} line {number} is longer than {MAX_LINE_BYTES} bytes")
        if not line.strip():
            continue
        try:
            yield decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"tasks: {path} line {number}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """msgspec's message with the field in front, which it puts last as `at `$.field``."""
    if isinstance(error, msgspec.ValidationError):
        return re.sub(r"^(.*) - at `\$\.(\w+)`$", r"field `\2`: \1", str(error))
    return f"not JSON ({error})"


def evaluate_infilling(
    cases: Sequence[InfillingCase],
    decoder: Decoder,
    tokenizer: Tokenizer,
    *,
    mode: Mode,
    max_tokens: int,
    seed: int,
    limits: Limits | None = None,
    on_case: Callable[[CaseResult], None] = lambda result: None,
) -> InfillingReport:
    """Decode, run and count. `seed` draws the bootstrap samples; decoding itself is greedy.

    Raises:
        ValueError: there are no cases, or the decoder cannot serve `max_tokens`.
    """
    results: list[CaseResult] = []
    exact: list[bool] = []
    floor: list[bool] = []
    tokens = forward_passes = 0
    for case in cases:
        cut = cut_before_cursor(case.prompt)
        request = DecodeRequest(
            prompt=pack_ids(cut.prompt(case.suffix, tokenizer)),
            mode=mode,
            max_tokens=max_tokens,
            starts_with_space=cut.space,
        )
        if problem := request.problem(decoder.info.vocabulary_size):
            raise ValueError(problem)
        answer = decoder.decode(request)
        ids = unpack_ids(answer.tokens)
        tokens += len(ids)
        forward_passes += answer.forward_passes
        text = cut.answer(tokenizer.decode(ids))
        result = CaseResult(task_id=case.task_id, passed=_passes(case, text, limits), text=text)
        results.append(result)
        exact.append(text.rstrip() == case.canonical_solution.rstrip())
        floor.append(any(_parses(case, middle) and _passes(case, middle, limits) for middle in case.trivial_middles()))
        on_case(result)
    passed = [result.passed for result in results]
    return InfillingReport(
        mode=mode,
        n=len(passed),
        passed=sum(passed),
        rate=sum(passed) / len(passed),
        ci95=bootstrap_interval(passed, seed=seed),
        exact_match=sum(exact) / len(exact),
        tokens_per_forward=tokens / max(1, forward_passes),
        floor=sum(floor) / len(floor),
        cases=results,
        model=decoder.info,
        device=decoder.info.device,
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
