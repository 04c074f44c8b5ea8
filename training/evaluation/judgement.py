"""One case after it was decoded and judged, and the report that many of them make."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from diffill.model.decoding_turn import Decoder
from diffill.model.request import DecodeRequest, DecodeResult, Mode, ModelInfo

from .statistics import bootstrap_interval


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What one case came to. The gate keeps these on disk, so that a case is decoded once."""

    task_id: str
    passed: bool
    exact: bool
    """Equal to the expected text, trailing whitespace aside."""
    tokens: int
    """New tokens; end-of-middle is not counted."""
    forward_passes: int
    milliseconds: float
    text: str
    cleared: bool | None = None
    """Repairs of a diagnostic: it is gone and no new one came. None where there is no tool to ask."""


class CaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """A case in the JSON of `diffill eval`."""

    task_id: str
    passed: bool
    text: str


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Rates of some cases of a suite."""

    n: int
    passed: int
    rate: float
    ci95: tuple[float, float]
    exact_match: float
    tokens_per_forward: float
    """New tokens over calls of the network after the prompt, over all cases."""
    milliseconds: float
    """Mean time of an answer, prompt included."""
    cleared: float | None = None
    """Share of the diagnostics that are gone without a new one, where a tool was asked."""


class Report(Part, frozen=True, kw_only=True):
    """The JSON form of `diffill eval infilling|holes|repair`."""

    suite: str
    mode: Mode
    floor: float
    """Share of cases that pass without a model: with nothing or `pass` in the hole, or with the fault left in."""
    cases: list[CaseResult]
    model: ModelInfo
    device: str
    parts: dict[str, Part] = {}
    """Repairs: `located` (also the report's own figures), `unlocated`, `no-op`."""


def timed_decode(decoder: Decoder, request: DecodeRequest) -> tuple[DecodeResult, float]:
    """The answer and its milliseconds.

    Raises:
        ValueError: the decoder cannot serve the request; one line that names the field.
    """
    if problem := request.problem(decoder.info.vocabulary_size):
        raise ValueError(problem)
    answer = decoder.decode(request)
    return answer, answer.prefill_ms + answer.denoise_ms


def part(judgements: Sequence[Judgement], *, seed: int) -> Part:
    """Rates over `judgements`; `seed` draws the bootstrap samples."""
    passed = [judgement.passed for judgement in judgements]
    asked = [judgement.cleared for judgement in judgements if judgement.cleared is not None]
    return Part(
        n=len(passed),
        passed=sum(passed),
        rate=sum(passed) / len(passed),
        ci95=bootstrap_interval(passed, seed=seed),
        exact_match=sum(judgement.exact for judgement in judgements) / len(passed),
        tokens_per_forward=tokens_per_forward(judgements),
        milliseconds=sum(judgement.milliseconds for judgement in judgements) / len(passed),
        cleared=sum(asked) / len(asked) if asked else None,
    )


def report(
    suite: str,
    judgements: Sequence[Judgement],
    *,
    mode: Mode,
    info: ModelInfo,
    seed: int,
    floor: float = 0.0,
    parts: dict[str, Part] | None = None,
) -> Report:
    """The document that a suite prints.

    Raises:
        ValueError: there are no judgements.
    """
    whole = part(judgements, seed=seed)
    return Report(
        **{name: getattr(whole, name) for name in Part.__struct_fields__},
        suite=suite,
        mode=mode,
        floor=floor,
        cases=[CaseResult(task_id=one.task_id, passed=one.passed, text=one.text) for one in judgements],
        model=info,
        device=info.device,
        parts=parts or {},
    )


def tokens_per_forward(judgements: Sequence[Judgement]) -> float:
    return sum(one.tokens for one in judgements) / max(1, sum(one.forward_passes for one in judgements))
