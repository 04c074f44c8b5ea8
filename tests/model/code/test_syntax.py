"""The parsed text: same lines as the editor, characters as offsets, and the count of problems."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffill.model.code.syntax import MAX_CHARACTERS, MAX_LINES, Syntax


def parsed(text: str, language: str = "python") -> Syntax:
    syntax = Syntax.parse(text, language)
    assert syntax is not None
    return syntax


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_separates_statements(end: str) -> None:
    assert parsed(f"x = 1{end}y = 2{end}").problems == 0


def test_problems_with_an_insertion_are_those_of_the_whole_new_text() -> None:
    text = "a = '😀'\nx = foo(\ny = 2\n"
    syntax = parsed(text)
    offset = text.index("(") + 1
    assert syntax.problems == 1
    assert syntax.problems_with(offset, "é)") == 0
    for insertion in ("1)", "1)\nz = ) 3", "a b", "\n\n", "'"):
        assert syntax.problems_with(offset, insertion) == parsed(text[:offset] + insertion + text[offset:]).problems
    assert syntax.problems == 1  # asking changes nothing


def test_leaves_are_found_by_characters() -> None:
    syntax = parsed("a = '😀é'\nif a:\n    pass\n")
    leaf = syntax.leaf_at(13)
    assert leaf is not None and leaf.type == ":"
    assert syntax.start_of(leaf) == 13


def test_long_and_unknown_texts_are_not_parsed() -> None:
    assert Syntax.parse("x\n" * MAX_LINES, "python") is None
    assert Syntax.parse("x\n" * (MAX_LINES - 1), "python") is not None
    assert Syntax.parse("x" * (MAX_CHARACTERS + 1), "python") is None
    assert Syntax.parse("x", "cobol") is None


PIECES = [
    "def f(x):\n",
    "    return x\n",
    "é = '😀'\n",
    "\r\n",
    "(",
    ")",
    '"',
    "x = [1, 2]\n",
    "if x:\n    pass\n",
    " ",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12), st.lists(st.tuples(st.floats(0, 1), st.sampled_from(PIECES))))
@settings(deadline=None, max_examples=200)
def test_a_tree_that_follows_from_the_one_before_it_is_the_tree_of_the_text(
    pieces: list[str], insertions: list[tuple[float, str]]
) -> None:
    text = "".join(pieces)
    syntax = parsed(text)
    for place, insertion in insertions:
        offset = int(place * len(text))
        text = text[:offset] + insertion + text[offset + 1 :]
        syntax = Syntax(text, syntax.name, syntax._parser, syntax.language, syntax)
        fresh = parsed(text)
        # With errors in it, what was reused may differ from what a fresh parse makes of them.
        if not fresh.problems or not syntax.problems:
            assert str(syntax._tree.root_node) == str(fresh._tree.root_node)
