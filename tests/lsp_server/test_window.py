"""The part of a long file that is looked at: it holds the cursor, stays while the cursor is near, and stays small."""

from __future__ import annotations

import pytest

from diffill.lsp_server.documents import Document, Edit
from diffill.lsp_server.window import WHOLE_CHARACTERS, WHOLE_LINES

METHOD = "def method(self):\n    value = 1\n    return value\n"


def document(text: str) -> Document:
    return Document(uri="file:///a.py", language="python", version=1, text=text)


def test_a_short_file_is_looked_at_as_a_whole() -> None:
    window = document(METHOD).window(10)
    assert (window.text, window.start) == (METHOD, 0)


@pytest.mark.parametrize("line", [0, 1, 700, 4_000, 7_999])
def test_a_part_of_a_long_file_starts_at_a_definition_and_holds_the_cursor(line: int) -> None:
    text = METHOD * 2_667
    subject = document(text)
    offset = subject.line_span(line)[0]
    window = subject.window(offset)
    assert window.start <= offset <= window.start + len(window.text)
    assert text[window.start :].startswith(window.text) and window.text.startswith("def")
    assert window.text.count("\n") < WHOLE_LINES
    assert window.syntax is not None and window.syntax.problems == 0


def test_typing_keeps_the_part_and_its_tree() -> None:
    subject = document(METHOD * 2_000)
    offset = subject.line_span(3_001)[1]
    first = subject.window(offset)
    assert first.syntax is not None
    for character in "\n    other = [value]":
        subject.apply(Edit(start=offset, end=offset, text=character))
        offset += 1
        window = subject.window(offset)
        assert window.start == first.start and window.previous is not None
        assert window.syntax is not None and window.previous is None
    assert window.syntax.problems == 0


def test_very_long_lines_are_cut_and_not_parsed() -> None:
    subject = document("x = '" + "a" * 1_000_000 + "'\n")
    window = subject.window(500_000)
    assert len(window.text) == WHOLE_CHARACTERS and window.syntax is None
    assert window.start <= 500_000 <= window.start + len(window.text)


def test_the_other_language_of_a_renamed_file_gets_its_own_tree() -> None:
    subject = document("x = 1\n")
    first = subject.window(0)
    assert first.syntax is not None and first.syntax.language.block_opener == ":"
    subject.language = "javascript"
    second = subject.window(0)
    assert second.syntax is not None and second.syntax.language.block_opener == "{"
