"""One completion: document and position to the text to insert. Knows no transport; server and command line call it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from diffill.model.request import DecodeRequest, DecodeResult, Mode, Step, pack_ids, unpack_ids
from diffill.model.tokenizer import Tokenizer

from .documents import Document
from .edits import insertion
from .prompt import build_prompt
from .span import find_span


class Engine(Protocol):
    """What is used of `diffill.model.client.EngineClient`."""

    async def decode(
        self, request: DecodeRequest, *, on_step: Callable[[Step], None] | None = None
    ) -> DecodeResult: ...


@dataclass(frozen=True, kw_only=True)
class Completion:
    """Replace the characters from `start` to `end` by `text`. Offsets are in characters of the document's text."""

    text: str
    start: int
    end: int
    score: float
    """Mean log-probability of the tokens that the engine returned."""
    result: DecodeResult


async def complete(
    document: Document,
    offset: int,
    *,
    engine: Engine,
    tokenizer: Tokenizer,
    mode: Mode = "verify",
    invoked: bool = False,
    max_tokens: int | None = None,
    key: str = "",
    trace: bool = False,
    on_step: Callable[[Step], None] | None = None,
) -> list[Completion]:
    """Completions at `offset`, best first; empty when there is nothing worth showing.

    Args:
        document: read before the first await only, so later edits to it do not matter.
        offset: cursor, in characters from the start of the text.
        invoked: the user asked, so also answer where an automatic completion would only disturb.
        max_tokens: replaces the limit that the span sets itself.
        key: a newer request with the same key supersedes this one in the engine; empty for none.
        trace: the engine reports every forward pass to `on_step`.

    Raises:
        ValueError: `offset` is outside the text.
        EngineError: the engine cannot answer.
    """
    if not 0 <= offset <= len(document.content):
        raise ValueError(f"offset: {offset} is not within a text of {len(document.content)} characters")
    window = document.window(offset)
    if not window.text.strip():
        return []
    span = find_span(window.text, offset - window.start, window.syntax, invoked=invoked)
    if span is None:
        return []
    prompt = build_prompt(span.prefix, span.suffix, tokenizer)
    request = DecodeRequest(
        prompt=pack_ids(prompt.ids),
        mode=mode,
        max_tokens=span.max_tokens if max_tokens is None else max_tokens,
        stop_at_line_end=span.stop_at_line_end,
        starts_with_space=prompt.cut.space,
        document=key,
        trace=trace,
    )
    result = await engine.decode(request, on_step=on_step)
    answer = prompt.cut.answer(tokenizer.decode(unpack_ids(result.tokens)))
    filled = insertion(answer, span, window.syntax, finish=result.finish)
    if not filled:
        return []
    return [Completion(text=filled, start=offset, end=offset, score=result.score, result=result)]
