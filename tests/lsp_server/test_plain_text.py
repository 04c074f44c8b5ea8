"""Characters that nobody sees, and lines said over and over."""

from __future__ import annotations

import sys

import pytest

from diffill.lsp_server.plain_text import hides_something, without_loops


@pytest.mark.parametrize(
    "hidden", ["\u202e", "\u2066", "\u200b", "\ufeff", "\u3164", "\ufe0f", "\U000e0041", "\x1b", "\x00"]
)
def test_what_is_not_seen_is_found_unless_the_file_has_it(hidden: str) -> None:
    assert hides_something(f"x = 1{hidden}", "y = 2")
    assert not hides_something(f"x = 1{hidden}", f"y = '{hidden}'")


def test_every_character_that_python_prints_may_be_written() -> None:
    printable = [character for character in map(chr, range(sys.maxunicode + 1)) if character.isprintable()]
    blank = set("\u2800\u115f\u1160\u3164\uffa0")
    allowed = [
        character for character in printable if not 0xFE00 <= ord(character) <= 0xFE0F and character not in blank
    ]
    assert not [character for character in allowed if hides_something(character, "") and ord(character) < 0xE0000]
    assert not hides_something("\tx = 'é😀'\r\n", "")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a = 1\na = 1\na = 1\na = 1", "a = 1"),
        ("x\n  pass_on(1)\n  pass_on(1)\n  pass_on(1)\ny", "x\n  pass_on(1)"),
        ("a = 1\na = 1\nb = 1", "a = 1\na = 1\nb = 1"),
        ("f(\n)\n)\n)", "f(\n)\n)\n)"),
        ("a\n\n\n\nb", "a\n\n\n\nb"),
    ],
)
def test_the_same_line_again_and_again(text: str, left: str) -> None:
    assert without_loops(text) == left
