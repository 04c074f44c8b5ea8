"""Minimal edits: applied, they give the new text, whatever the texts are."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from diffill.lsp_server.repair.hunks import apply_all, hunks

LINES = st.lists(st.text("ab é😀\u2028\x0c(", max_size=4), max_size=6)
TEXTS = st.tuples(LINES, st.sampled_from(["\n", "\r\n", "\r"])).map(lambda made: made[1].join(made[0]))


@given(TEXTS, TEXTS, st.text(max_size=3))
def test_edits_lead_from_one_text_to_the_other(before: str, after: str, head: str) -> None:
    edits = hunks(before, after, offset=len(head))
    assert apply_all(head + before, edits) == head + after
    assert all(edit.start < edit.end or edit.text for edit in edits)
    assert all(one.end <= other.start for one, other in pairwise(edits))


def test_only_the_changed_words_are_replaced() -> None:
    before = "a = 1\nreturn foo(itm, b)\n\nz = 2\n"
    (first, second) = hunks(before, "a = 1\nreturn foo(item, b)\n\nz = 3\n")
    assert (before[first.start : first.end], first.text) == ("itm", "item")
    assert (before[second.start : second.end], second.text) == ("2", "3")


def test_line_ends_are_not_cut_in_two() -> None:
    (edit,) = hunks("a\r\nb\r\n", "a\r\nc\r\n")
    assert (edit.start, edit.end, edit.text) == (3, 4, "c")
