"""Pieces of syntax: what a person would leave out, whatever characters stand around it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffill.training.spans import LONGEST_NODE, SHORTEST_NODE, HoleConfig, hole, syntax_nodes

RUST = """\
// an unmatched ( in a comment
fn area(shapes: &[Shape]) -> f64 {
    let open = "(";
    shapes.iter().map(|shape| shape.width * shape.height).sum()
}
"""


def texts(text: str, language: str) -> set[str]:
    return {text[start:end] for start, end in syntax_nodes(text, language)}


def test_between_brackets_of_other_languages() -> None:
    found = texts(RUST, "rust")
    assert {"shapes: &[Shape]", "Shape"} <= found
    assert "|shape| shape.width * shape.height" in found
    assert not any("unmatched" in one for one in found)
    assert any(one.startswith("\n    let open") for one in found), "a whole block"


def test_python_nodes_behind_wide_characters() -> None:
    found = texts('name = "é漢" + call(value)  # 🎉\nother = name.upper()\n', "python")
    assert {"call(value)", "name.upper()", '"é漢"'} <= found


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab(){}[]\"'`/*\n é\\"), max_size=60), st.sampled_from(["python", "rust"]))
def test_nodes_lie_in_the_text(text: str, language: str) -> None:
    for start, end in syntax_nodes(text, language):
        assert 0 <= start < end <= len(text)
        assert SHORTEST_NODE <= end - start <= LONGEST_NODE


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab \n"), min_size=1, max_size=60), st.integers(0, 50))
def test_holes_lie_in_the_text(text: str, seed: int) -> None:
    start, end = hole(text, [], HoleConfig(), random.Random(seed))
    assert 0 <= start <= end <= len(text)


def test_shares_above_one_are_named() -> None:
    with pytest.raises(ValueError, match="holes: the shares"):
        HoleConfig(whole_line=0.9, several_lines=0.5)
