"""The document against a naive reference, with text that hurts: CR, CRLF, U+2028, form feeds, surrogates, emoji."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffill.lsp_server.documents import Document, Edit
from diffill.lsp_server.positions import ENCODINGS, Encoding

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


@given(
    texts,
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 9), st.integers(0, 3), st.integers(0, 9), texts)),
    encodings,
)
@settings(deadline=None)
def test_edits_in_any_order(text: str, edits: list[tuple[int, int, int, int, str]], encoding: Encoding) -> None:
    """The line starts that the document keeps across edits are those of a fresh search."""
    subject = document(text)
    for line, column, lines_down, end_column, new in edits:
        start = subject.offset_at(line, column, encoding)
        end = max(start, subject.offset_at(line + lines_down, end_column, encoding))
        assert start == reference_offset(text, line, column, encoding)
        subject.apply(Edit(start=start, end=end, text=new))
        text = text[:start] + new + text[end:]
        assert subject.text == text
    lines = reference_lines(text)
    for index, line_text in enumerate(lines):
        start = len("".join(lines[:index]))
        assert subject.line_span(index) == (start, start + len(content(line_text)))


@pytest.mark.parametrize("character", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_only_lf_cr_and_crlf_end_a_line(character: str) -> None:
    subject = document(f"a{character}b\nsecond")
    assert subject.offset_at(1, 0, "utf-16") == 4


def test_a_column_beyond_a_last_line_without_newline_is_its_end() -> None:
    assert document("abc").offset_at(0, 99, "utf-16") == 3


def test_a_surrogate_pair_is_never_split() -> None:
    assert document("😀").offset_at(0, 1, "utf-16") == 0
    assert document("😀").offset_at(0, 3, "utf-8") == 0


def test_typing_far_down_searches_no_line_again() -> None:
    """Positions near the last edit need no walk over the text before it."""
    subject = document("x = 1\n" * 1000)
    offset = subject.offset_at(900, 0, "utf-16")
    subject.apply(Edit(start=offset + 1, end=offset + 1, text="y"))
    assert len(subject._starts) == 901
    assert subject.offset_at(900, 2, "utf-16") == offset + 2
    assert len(subject._starts) == 902


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
