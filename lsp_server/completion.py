"""One completion: document and position to the text to insert. Knows no transport; server and command line call it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from diffill.model.code.span import Kind, Span
from diffill.model.request import (
    MAX_SPAN_CHARACTERS,
    DecodeRequest,
    DecodeResult,
    Finish,
    Mode,
    Step,
    pack_ids,
    unpack_ids,
)
from diffill.model.tokenizer import Tokenizer

from .documents import Document
from .edits import insertion
from .prompt import Prompt, build_prompt
from .span import find_span
from .window import Window


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
    tokens: int = 0
    """How many the engine returned, of which some may have been cut off."""
    kind: Kind = "line"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of the engine for one cursor, and what it takes to read the answer."""

    request: DecodeRequest
    offset: int
    span: Span
    _window: Window
    _prompt: Prompt
    _indentation: str = ""

    def read(self, result: DecodeResult, tokenizer: Tokenizer) -> list[Completion]:
        """The distinct texts worth inserting, best first."""
        completions: dict[str, Completion] = {}
        for answer in result.answers():
            text = self._insertion(answer.tokens, answer.finish, tokenizer)
            if text and text not in completions:
                completions[text] = Completion(
                    text=text,
                    start=self.offset,
                    end=self.offset,
                    score=answer.score,
                    result=result,
                    tokens=len(answer.tokens) // 4,
                    kind=self.span.kind,
                )
        return list(completions.values())

    def written(self, tokens: list[int], tokenizer: Tokenizer) -> str:
        """The text of an answer, or of its first tokens while it is being decoded."""
        return self._prompt.cut.answer(tokenizer.decode(tokens)).split("\ufffd")[0]

    def _insertion(self, tokens: bytes, finish: Finish, tokenizer: Tokenizer) -> str:
        answer = self._prompt.cut.answer(tokenizer.decode(unpack_ids(tokens)))
        return insertion(answer, self.span, self._window.syntax, finish=finish, indentation=self._indentation)


def ask(
    window: Window,
    offset: int,
    *,
    tokenizer: Tokenizer,
    mode: Mode = "verify",
    invoked: bool = False,
    max_tokens: int | None = None,
    candidates: int = 1,
    key: str = "",
    trace: bool = False,
    related: str = "",
    indentation: str = "",
    guided: bool = True,
) -> Question | None:
    """What to ask for a cursor at `offset` (in the document), or None where nothing is worth asking.

    Args:
        indentation: one level, as the editor writes it; for a file that does not tell.
    """
    if not window.text.strip():
        return None
    span = find_span(window.text, offset - window.start, window.syntax, invoked=invoked)
    if span is None:
        return None
    prompt = build_prompt(span.prefix, span.suffix, tokenizer, related)
    sent = sent_span(span)
    request = DecodeRequest(
        prompt=pack_ids(prompt.ids),
        mode=mode,
        max_tokens=span.max_tokens if max_tokens is None else max_tokens,
        stop_at_line_end=span.stop_at_line_end,
        starts_with_space=prompt.cut.space,
        span=sent,
        guided=guided and sent is not None and window.syntax is not None,
        document=key,
        trace=trace,
        candidates=candidates,
    )
    return Question(request=request, offset=offset, span=span, _window=window, _prompt=prompt, _indentation=indentation)


def sent_span(span: Span) -> Span | None:
    """The span as it travels to the engine: valid UTF-8, which half a surrogate pair is not; None if it is too long."""
    if len(span.prefix) + len(span.suffix) > MAX_SPAN_CHARACTERS:
        return None
    prefix, suffix = (text.encode("utf-8", "replace").decode("utf-8") for text in (span.prefix, span.suffix))
    return msgspec.structs.replace(span, prefix=prefix, suffix=suffix)


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
    related: str = "",
    guided: bool = True,
    on_step: Callable[[Step], None] | None = None,
) -> list[Completion]:
    """Completions at `offset`, best first; empty when there is nothing worth showing.

    Args:
        document: read before the first await only, so later edits to it do not matter.
        offset: cursor, in characters from the start of the text.
        invoked: the user asked, so also answer where an automatic completion would only disturb.
        max_tokens: replaces the limit that the span sets itself.
        key: a newer request with the same key supersedes this one in the engine; empty for none.
        related: what other files say about the place, as text that may stand before the file.
        guided: where the answer makes a new syntax error, the engine takes other tokens near it. On, because it costs
            little and loses nothing (`benchmarks.syntax_guidance`).
        trace: the engine reports every forward pass to `on_step`.

    Raises:
        ValueError: `offset` is outside the text.
        EngineError: the engine cannot answer.
    """
    if not 0 <= offset <= len(document.content):
        raise ValueError(f"offset: {offset} is not within a text of {len(document.content)} characters")
    question = ask(
        document.window(offset),
        offset,
        tokenizer=tokenizer,
        mode=mode,
        invoked=invoked,
        max_tokens=max_tokens,
        key=key,
        trace=trace,
        related=related,
        guided=guided,
    )
    if question is None:
        return []
    return question.read(await engine.decode(question.request, on_step=on_step), tokenizer)
