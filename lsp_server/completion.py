"""One completion: document and position to the text to insert. Knows no transport; server and command line call it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from diffill.model.request import DecodeRequest, DecodeResult, Mode, Step
from diffill.model.tokenizer import Tokenizer

from .documents import Document


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
    trace: bool = False,
    on_step: Callable[[Step], None] | None = None,
) -> list[Completion]:
    """Completions at `offset`, best first; empty when there is nothing worth showing.

    Args:
        document: read before the first await only, so later edits to it do not matter.
        offset: cursor, in characters from the start of the text.
        invoked: the user asked, so also answer where an automatic completion would only disturb.
        max_tokens: lowers the span's own limit, never raises it.
        trace: the engine reports every forward pass to `on_step`.

    Raises:
        ValueError: `offset` is outside the text.
        EngineError: the engine cannot answer.
    """
    raise NotImplementedError
