"""Drafts from the text against a search written out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from diffill.model.decoding.copied import REACH, CopiedDraft
from diffill.model.tokenizer import NUM_CONTROL_IDS

A, B, C, D = range(NUM_CONTROL_IDS, NUM_CONTROL_IDS + 4)
tokens = st.integers(NUM_CONTROL_IDS - 1, NUM_CONTROL_IDS + 2)


def searched(text: list[int], most: int) -> list[int]:
    for matched in range(len(REACH), 0, -1):
        for start in range(len(text) - 1, matched - 1, -1):
            if text[start - matched : start] == text[-matched:]:
                draft = text[start : start + min(most, REACH[matched - 1])]
                return draft[: next((i for i, token in enumerate(draft) if token < NUM_CONTROL_IDS), len(draft))]
    return []


@given(text=st.lists(tokens, min_size=1, max_size=30), grown=st.lists(tokens, max_size=10), most=st.integers(0, 8))
def test_as_searched(text: list[int], grown: list[int], most: int) -> None:
    copied = CopiedDraft(text, room=len(grown))
    assert copied.rest(most) == searched(text, most)
    for token in grown:
        copied.follow([token])
        text = [*text, token]
        assert copied.rest(most) == searched(text, most)


def test_the_longest_match_wins_over_the_latest() -> None:
    text = [A, B, C, D, D, B, A, A, B]
    assert CopiedDraft(text, room=0).rest(8) == [C, D, D]
    assert CopiedDraft([A, B, A], room=0).rest(8) == [B]
    assert CopiedDraft([A, B, C], room=0).rest(8) == []


def test_control_tokens_are_never_drafted() -> None:
    assert CopiedDraft([A, B, C, 0, A, B], room=0).rest(8) == [C]
