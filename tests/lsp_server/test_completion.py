"""The use case with an engine that is a function: what it asks, and what it makes of the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from diffill.lsp_server.completion import Completion, complete
from diffill.lsp_server.documents import Document
from diffill.lsp_server.repair.places import Place
from diffill.lsp_server.repair.proposals import Model, Writer
from diffill.model.code.span import Span
from diffill.model.config import DEFAULT_CHECKPOINT
from diffill.model.request import MAX_NEW_TOKENS, DecodeRequest, DecodeResult, Step, unpack_ids
from diffill.model.tokenizer import MIDDLE, Tokenizer
from diffill.model.wire import Decode, decode_client_message, encode_frame
from tests.stand_in import result_of

TOKENIZER = Tokenizer.load(DEFAULT_CHECKPOINT)


class Engine:
    """Answers one text and remembers what it was asked."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.asked: list[DecodeRequest] = []

    async def decode(self, request: DecodeRequest, *, on_step: Callable[[Step], None] | None = None) -> DecodeResult:
        self.asked.append(request)
        return result_of(TOKENIZER.encode(self.answer), score=-0.5, passes=2)


def run(engine: Engine, marked: str, *, language: str = "python", **options: Any) -> list[Completion]:
    offset = marked.index("|")
    text = marked[:offset] + marked[offset + 1 :]
    document = Document(uri="file:///private/name.py", language=language, version=1, text=text)
    return asyncio.run(complete(document, offset, engine=engine, tokenizer=TOKENIZER, **options))


def test_a_line() -> None:
    engine = Engine("(a, b)\nnext")
    (completion,) = run(engine, "x = 1\ny = foo|\n", mode="ar", key="7:abc")
    assert (completion.text, completion.start, completion.end, completion.score) == ("(a, b)", 13, 13, -0.5)
    (request,) = engine.asked
    assert (request.mode, request.stop_at_line_end, request.max_tokens) == ("ar", True, 48)
    assert request.document == "7:abc"
    assert unpack_ids(request.prompt)[-1] == MIDDLE
    assert request.problem(TOKENIZER.vocabulary_size) is None


def test_a_body() -> None:
    engine = Engine("return a\n\n\nx = 1\n")
    (completion,) = run(engine, "def f(a):\n    |\n")
    assert completion.text == "return a"
    assert (engine.asked[0].stop_at_line_end, engine.asked[0].max_tokens) == (False, 128)


def test_the_caller_s_limit_replaces_the_span_s() -> None:
    engine = Engine("1")
    run(engine, "x = |", max_tokens=7)
    run(engine, "x = |", max_tokens=MAX_NEW_TOKENS)
    assert [request.max_tokens for request in engine.asked] == [7, MAX_NEW_TOKENS]


@pytest.mark.parametrize("marked", ["|", "  \n|\n", "pri|nt()"])
def test_where_nothing_is_asked(marked: str) -> None:
    engine = Engine("1")
    assert run(engine, marked) == []
    assert not engine.asked


@pytest.mark.parametrize("answer", ["", "\n", "  \n"])
def test_an_answer_that_is_not_worth_showing(answer: str) -> None:
    assert run(Engine(answer), "x = |\n") == []


def test_a_huge_file_costs_no_more_than_its_window() -> None:
    """What is asked for the last line of a million is what is asked for it in a file of some hundred."""
    far, near = Engine("1"), Engine("1")
    assert run(far, "y = 0\n" * 1_000_000 + "x = |")[0].start == 6_000_004
    run(near, "y = 0\n" * 800 + "x = |")
    assert far.asked == near.asked


@pytest.mark.parametrize(
    ("text", "sent"),
    [("x = '\ud83d'\ny = |", True), ("x = 1\n" * 200_000 + "y = |", True), ("'" + "x" * 50_000 + "'; y = |", False)],
)
def test_the_span_is_sent_where_it_fits_a_message(text: str, sent: bool) -> None:
    engine = Engine("1")
    assert run(engine, text, guided=True)[0].text == "1"
    (request,) = engine.asked
    assert (request.span is not None, request.guided) == (sent, sent)
    assert request.problem(TOKENIZER.vocabulary_size) is None
    assert decode_client_message(encode_frame(Decode(id=1, request=request))[4:]) == Decode(id=1, request=request)


def test_an_offset_outside_the_text() -> None:
    document = Document(uri="file:///a", language="python", version=1, text="abc")
    with pytest.raises(ValueError, match="offset: 4"):
        asyncio.run(complete(document, 4, engine=Engine(""), tokenizer=TOKENIZER))


@pytest.mark.parametrize("guided", [True, False])
def test_a_repair_names_its_span_too(guided: bool) -> None:
    """So that no pass is spent behind a statement that is written anew, and what breaks the code is mended."""
    engine = Engine("g(a)\nmore")
    text = "x = 1\ny = f(a)\nz = 2\n"
    place = Place(start=text.index("f"), end=text.index("\nz"), kind="statement")
    model = Model(engine=engine, tokenizer=TOKENIZER, guided=guided)
    writer = Writer(text=text, model=model, language="python")
    (proposal,) = asyncio.run(writer.fill(place))
    assert proposal.text == "g(a)"
    (request,) = engine.asked
    assert request.span == Span(kind="statement", prefix="x = 1\ny = ", suffix="\nz = 2\n", language="python")
    assert request.guided == guided
