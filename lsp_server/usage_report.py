"""Figures over the usage log: how often something was shown, taken and kept, and how long it took."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from .retention import CHECKPOINTS
from .usage_log import Accepted, Answered, Repaired, Retained, read_events, usage_file

DAY = 86_400.0


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds from the request to the answer."""

    n: int
    p50_ms: float
    p95_ms: float


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What was left of accepted completions that could be watched for so long."""

    n: int
    characters: int
    retained: int
    share: float


class Repairs(msgspec.Struct, frozen=True, kw_only=True):
    """Repairs of one kind that were asked for."""

    n: int
    verified: int
    not_verified: int
    times: Times


class UsageReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `diffill stats` prints. Rates are over the requests that a keystroke made; None where there were none."""

    file: str
    days: float
    requests: int
    shown: int
    show_rate: float | None
    quiet_rate: float | None
    accepted: int
    accepted_in_part: int
    acceptance_rate: float | None
    accepted_characters: int
    latency: dict[str, Times]
    """By where the answer came from: `decoded`, `joined` another request, `cache`."""
    retained: dict[str, Kept]
    """By seconds since the acceptance."""
    repairs: dict[str, Repairs]
    languages: dict[str, int]
    """Accepted completions by language."""


def usage_report(file: Path | None = None, *, days: float | None = None, now: float | None = None) -> UsageReport:
    """The figures of the last `days`, or of everything that is kept.

    Raises:
        OSError: the file cannot be read.
    """
    file = file or usage_file()
    now = time.time() if now is None else now
    events = [event for event in read_events(file) if days is None or event.at >= now - days * DAY]
    typed = [event for event in events if isinstance(event, Answered) and not event.invoked]
    shown = sum(event.items > 0 for event in typed)
    accepted = [event for event in events if isinstance(event, Accepted)]
    whole = [event for event in accepted if event.whole]
    return UsageReport(
        file=str(file),
        days=(now - events[0].at) / DAY if events else 0.0,
        requests=len(typed),
        shown=shown,
        show_rate=_share(shown, len(typed)),
        quiet_rate=_share(len(typed) - shown, len(typed)),
        accepted=len(whole),
        accepted_in_part=len(accepted) - len(whole),
        acceptance_rate=_share(len(whole), shown),
        accepted_characters=sum(event.characters for event in accepted),
        latency=_latency(event for event in events if isinstance(event, Answered)),
        retained=_retained([event for event in events if isinstance(event, Retained)]),
        repairs=_repairs([event for event in events if isinstance(event, Repaired)]),
        languages=_languages(whole),
    )


def _latency(answers: Iterable[Answered]) -> dict[str, Times]:
    times: dict[str, list[float]] = {}
    for answer in answers:
        times.setdefault(answer.source, []).append(answer.ms)
    return {source: _times(values) for source, values in sorted(times.items())}


def _retained(events: list[Retained]) -> dict[str, Kept]:
    report = {}
    for after in CHECKPOINTS:
        seen = [event for event in events if event.after == after]
        if seen:
            characters = sum(event.characters for event in seen)
            retained = sum(event.retained for event in seen)
            share = retained / characters if characters else 0.0
            report[str(after)] = Kept(n=len(seen), characters=characters, retained=retained, share=share)
    return report


def _repairs(events: list[Repaired]) -> dict[str, Repairs]:
    report = {}
    for kind in sorted({event.kind for event in events}):
        seen = [event for event in events if event.kind == kind]
        report[kind] = Repairs(
            n=len(seen),
            verified=sum(event.outcome == "verified" for event in seen),
            not_verified=sum(event.outcome == "not verified" for event in seen),
            times=_times([event.ms for event in seen]),
        )
    return report


def _languages(accepted: list[Accepted]) -> dict[str, int]:
    languages: dict[str, int] = {}
    for event in accepted:
        languages[event.language] = languages.get(event.language, 0) + 1
    return dict(sorted(languages.items(), key=lambda item: (-item[1], item[0])))


def _times(values: list[float]) -> Times:
    ordered = sorted(values)
    middle, high = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.95))
    return Times(n=len(ordered), p50_ms=middle, p95_ms=high)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
