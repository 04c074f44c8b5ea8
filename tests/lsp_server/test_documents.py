"""The document against a naive reference, with text that hurts: CR, CRLF, U+2028, form feeds, surrogates, emoji."""

from __future__ import annotations

import os
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffill.lsp_server import text as text_module
from diffill.lsp_server.documents import MAX_EDITS, Document, Edit
from diffill.lsp_server.positions import ENCODINGS, Encoding

SEQUENCES = int(os.environ.get("DIFFILL_SEQUENCES", "1000"))
SEED = int(os.environ.get("DIFFILL_SEED", "0"))
HOSTILE = [
    "\r",
    "\n",
    "\r\n",
    "\u2028",
    "\u2029",
    "\x0b",
    "\x0c",
    "\x85",
    "\x1c",
    "a",
    "é",
    "€",
    "😀",
    "\ud83d",
    "\ude00",
]
texts = st.lists(st.sampled_from(HOSTILE), max_size=30).map("".join)
encodings = st.sampled_from(ENCODINGS)


def document(text: str) -> Document:
    return Document(uri="file:///a", language="python", version=1, text=text)


def reference_lines(text: str) -> list[str]:
    """Lines with their ends; the last has none."""
    return [line for line in re.split(r"(?<=\n)|(?<=\r)(?!\n)", text)]


def content(line: str) -> str:
    return line.rstrip("\r\n")


def reference_units(text: str, encoding: Encoding) -> int:
    return {
        "utf-8": lambda: len(text.encode("utf-8", "surrogatepass")),
        "utf-16": lambda: len(text.encode("utf-16-le", "surrogatepass")) // 2,
        "utf-32": lambda: len(text),
    }[encoding]()


def reference_offset(text: str, line: int, column: int, encoding: Encoding) -> int:
    lines = reference_lines(text)
    if line >= len(lines):
        return len(text)
    start = len("".join(lines[:line]))
    fitting = [n for n in range(len(content(lines[line])) + 1) if reference_units(lines[line][:n], encoding) <= column]
    return start + fitting[-1]


@given(texts, st.integers(0, 12), st.integers(0, 40), encodings)
@settings(deadline=None)
def test_offset_of_any_position(text: str, line: int, column: int, encoding: Encoding) -> None:
    assert document(text).offset_at(line, column, encoding) == reference_offset(text, line, column, encoding)


@given(texts, st.data(), encodings)
@settings(deadline=None)
def test_position_of_an_offset_leads_back(text: str, data: st.DataObject, encoding: Encoding) -> None:
    subject = document(text)
    lines = reference_lines(text)
    index = data.draw(st.integers(0, len(lines) - 1))
    offset = len("".join(lines[:index])) + data.draw(st.integers(0, len(content(lines[index]))))
    line, column = subject.position_at(offset, encoding)
    assert (line, column) == (index, reference_units(text[len("".join(lines[:index])) : offset], encoding))
    assert subject.offset_at(line, column, encoding) == offset


@pytest.mark.parametrize("character", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_only_lf_cr_and_crlf_end_a_line(character: str) -> None:
    subject = document(f"a{character}b\nsecond")
    assert subject.offset_at(1, 0, "utf-16") == 4


def test_a_column_beyond_a_last_line_without_newline_is_its_end() -> None:
    assert document("abc").offset_at(0, 99, "utf-16") == 3


def test_a_surrogate_pair_is_never_split() -> None:
    assert document("😀").offset_at(0, 1, "utf-16") == 0
    assert document("😀").offset_at(0, 3, "utf-8") == 0


@given(
    texts,
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 9), st.integers(0, 3), st.integers(0, 9), texts), max_size=12),
    encodings,
)
@settings(deadline=None)
def test_any_sequence_of_edits_leaves_the_text_of_the_client(
    text: str, edits: list[tuple[int, int, int, int, str]], encoding: Encoding
) -> None:
    """With chunks of a few characters, so that every edit meets their borders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_module, "_CHUNK", 4)
        check_sequence(text, edits, encoding)


def test_many_random_sequences_of_edits(monkeypatch: pytest.MonkeyPatch) -> None:
    """As above without a search for a smaller example, which is ten times as fast.

    `DIFFILL_SEQUENCES=100000 python -m pytest tests/lsp_server/test_documents.py -k many_random` runs so many;
    `DIFFILL_SEED` makes them others.
    """
    monkeypatch.setattr(text_module, "_CHUNK", 4)
    chance = random.Random(SEED)

    def some_text() -> str:
        return "".join(chance.choices(HOSTILE, k=chance.randrange(30)))

    for number in range(SEQUENCES):
        text = some_text()
        edits = [
            (chance.randrange(9), chance.randrange(10), chance.randrange(4), chance.randrange(10), some_text())
            for _ in range(chance.randrange(12))
        ]
        try:
            check_sequence(text, edits, ENCODINGS[number % len(ENCODINGS)])
        except AssertionError as error:
            raise AssertionError(f"{text!r}, {edits!r}, {ENCODINGS[number % len(ENCODINGS)]}") from error


def check_sequence(text: str, edits: list[tuple[int, int, int, int, str]], encoding: Encoding) -> None:
    subject = document(text)
    for line, column, lines_down, end_column, new in edits:
        start = subject.offset_at(line, column, encoding)
        end = max(start, subject.offset_at(line + lines_down, end_column, encoding))
        assert start == reference_offset(text, line, column, encoding)
        subject.apply(Edit(start=start, end=end, text=new))
        text = text[:start] + new + text[end:]
        assert subject.text == text
    check_lines(subject, text)
    assert [subject.content.slice(at, at + 7) for at in range(len(text))] == [
        text[at : at + 7] for at in range(len(text))
    ]


def check_lines(subject: Document, text: str) -> None:
    lines = reference_lines(text)
    assert subject.content.line_count == len(lines)
    start = 0
    for index, line_text in enumerate(lines):
        assert subject.line_span(index) == (start, start + len(content(line_text)))
        assert subject.content.line_at(start) == (index, start)
        start += len(line_text)


def test_an_edit_copies_one_chunk() -> None:
    subject = document("x = 1\n" * 50_000)
    before = subject.content
    offset = subject.offset_at(25_000, 0, "utf-16")
    subject.apply(Edit(start=offset, end=offset, text="y"))
    kept = {id(chunk) for chunk in before._chunks} & {id(chunk) for chunk in subject.content._chunks}
    assert len(kept) == len(before._chunks) - 1
    assert before.slice(offset, offset + 2) == "x " and subject.content.slice(offset, offset + 2) == "yx"


def test_what_was_done_since_a_revision() -> None:
    subject = document("ab")
    edits = [Edit(start=1, end=1, text=str(number)) for number in range(MAX_EDITS + 1)]
    for edit in edits:
        subject.apply(edit)
    assert subject.edits_since(subject.revision) == []
    assert subject.edits_since(subject.revision - 2) == edits[-2:]
    assert subject.edits_since(0) is None


def test_an_edit_outside_the_text_is_refused() -> None:
    with pytest.raises(ValueError, match="range"):
        document("abc").apply(Edit(start=2, end=9, text=""))


@pytest.mark.parametrize(("line", "column", "offset"), [(1, 1, 0), (1, 3, 2), (2, 1, 4), (2, 2, 5)])
def test_columns_of_the_command_line_count_from_one(line: int, column: int, offset: int) -> None:
    subject = document("ab\r\n😀")
    assert subject.offset_at_column(line, column) == offset
    assert subject.column_at_offset(offset) == (line, column)


@pytest.mark.parametrize(
    ("line", "column", "named"), [(3, 1, "line: 3"), (1, 4, "column: 4"), (0, 1, "position"), (1, 0, "position")]
)
def test_a_place_that_does_not_exist_is_named(line: int, column: int, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        document("ab\r\n😀").offset_at_column(line, column)
