"""Somebody types lines of real code: every key asks, as an editor does, and overtakes what is still being decoded."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from diffill.lsp_server.completion import complete
from diffill.lsp_server.documents import Document, Edit
from diffill.model.client import EngineClient, EngineError
from diffill.model.request import DecodeRequest, DecodeResult, Mode, Step
from diffill.model.tokenizer import Tokenizer
from diffill.training.evaluation.holes import Hole

from ..recording_engine import RecordingEngine
from .places import document_at
from .report import Row, Sample, row

MEDIAN_PAUSE = 0.15
PAUSE_SPREAD = 0.45
"""Of the logarithm: nineteen pauses in twenty lie between 60 and 370 ms."""
THINKING_CHANCE, THINKING_SECONDS = 0.12, 0.8
"""Before a new word."""
SLIP_CHANCE = 0.03
"""A wrong key, noticed and taken back at once."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """One keystroke."""

    pause: float
    """Seconds since the key before."""
    typed: str
    """What the line holds after it."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one keystroke that asked; no sample when the next one overtook it."""

    sample: Sample | None
    prompt_tokens: int = 0
    cached_tokens: int = 0


def keys_of(line: str, generator: random.Random) -> Iterator[Key]:
    """The keys that write `line`, with the pauses and slips of a person; drawn, not recorded."""
    for index, character in enumerate(line):
        new_word = index > 0 and not line[index - 1].isalnum()
        if new_word and generator.random() < THINKING_CHANCE:
            yield Key(pause=THINKING_SECONDS + _pause(generator), typed=line[: index + 1])
        elif character.isalnum() and generator.random() < SLIP_CHANCE:
            yield Key(pause=_pause(generator), typed=line[:index] + generator.choice("aeirtn"))
            yield Key(pause=2 * _pause(generator), typed=line[:index])
            yield Key(pause=_pause(generator), typed=line[: index + 1])
        else:
            yield Key(pause=_pause(generator), typed=line[: index + 1])


async def measure_typing(
    holes: Iterable[Hole], modes: Sequence[Mode], *, client: EngineClient, tokenizer: Tokenizer, seed: int
) -> list[Row]:
    """Each mode types lines of its own, in turn: they share an engine, and one must not find what another left there.

    Raises:
        EngineError: the engine cannot answer.
    """
    generator = random.Random(seed)
    outcomes: dict[Mode, list[Outcome]] = {mode: [] for mode in modes}
    for index, hole in enumerate(holes):
        mode = modes[index % len(modes)]
        outcomes[mode] += await _type(hole, list(keys_of(hole.missing, generator)), mode, client, tokenizer)
    return [typing_row(mode, found) for mode, found in outcomes.items() if any(one.sample for one in found)]


def typing_row(mode: Mode, outcomes: Sequence[Outcome]) -> Row:
    """Shares over all that asked; times over those that were answered, of which there is at least one."""
    answered = [outcome for outcome in outcomes if outcome.sample is not None]
    samples = [outcome.sample for outcome in answered if outcome.sample is not None]
    prompt = sum(outcome.prompt_tokens for outcome in answered)
    return msgspec.structs.replace(
        row(mode, samples),
        n=len(outcomes),
        within_150_ms=_share(sum(sample.total_ms <= 150 for sample in samples), len(outcomes)),
        within_300_ms=_share(sum(sample.total_ms <= 300 for sample in samples), len(outcomes)),
        cancelled=_share(len(outcomes) - len(answered), len(outcomes)),
        cached_tokens=_share(sum(outcome.cached_tokens for outcome in answered), prompt),
    )


async def _type(
    hole: Hole, keys: Sequence[Key], mode: Mode, client: EngineClient, tokenizer: Tokenizer
) -> list[Outcome]:
    """Type one line; the keystrokes at which the server would not ask are left out."""
    document, start = document_at(hole, "")
    end = start
    asking: list[asyncio.Task[Outcome | None]] = []
    for key in keys:
        await asyncio.sleep(key.pause)
        document.apply(Edit(start=start, end=end, text=key.typed))
        end = start + len(key.typed)
        if asking:
            asking[-1].cancel()
        asking.append(asyncio.create_task(_press(document, end, mode, client, tokenizer)))
    return [outcome for outcome in await asyncio.gather(*asking) if outcome is not None]


async def _press(
    document: Document, offset: int, mode: Mode, client: EngineClient, tokenizer: Tokenizer
) -> Outcome | None:
    """What comes of one keystroke, or None when it does not ask."""
    engine = _Asked(client)
    began = time.perf_counter()
    try:
        await complete(document, offset, engine=engine, tokenizer=tokenizer, mode=mode, key=document.uri)
    except asyncio.CancelledError:
        return Outcome(sample=None)  # by the next key
    except EngineError as error:
        if error.code in ("cancelled", "superseded"):
            return Outcome(sample=None)
        raise
    if engine.request is None or engine.result is None:
        return None
    return Outcome(
        sample=Sample.of(engine.result, 1e3 * (time.perf_counter() - began)),
        prompt_tokens=len(engine.request.prompt) // 4,
        cached_tokens=engine.result.cached_tokens,
    )


class _Asked(RecordingEngine):
    """Remembers the question too."""

    request: DecodeRequest | None = None

    async def decode(self, request: DecodeRequest, *, on_step: Callable[[Step], None] | None = None) -> DecodeResult:
        self.request = request
        return await super().decode(request, on_step=on_step)


def _share(count: int, of: int) -> float:
    return round(count / max(1, of), 3)


def _pause(generator: random.Random) -> float:
    return generator.lognormvariate(math.log(MEDIAN_PAUSE), PAUSE_SPREAD)
