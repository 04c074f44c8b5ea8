"""Labels that repair a draft: followed round after round, they always arrive at the target."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffill.model.tokenizer import DELETE, INSERT, MASK
from diffill.training.alignment import aligned_places, edit_labels

tokens = st.lists(st.sampled_from([40, 41, 42, 43]), max_size=8)
END = 7


def labels(draft: list[int], target: list[int]) -> list[int]:
    result: list[int] = edit_labels(np.array([draft]), np.array([target]))[0].tolist()
    return result


def follow(draft: list[int], said: list[int]) -> list[int]:
    """One round of what the labels say."""
    after: list[int] = []
    for token, label in zip(draft, said, strict=True):
        if label == INSERT:
            after += [MASK, token]
        elif label != DELETE:
            after.append(label)
    return after


@pytest.mark.parametrize(
    "draft, target, expected",
    [
        ([40, 41, 42], [40, 41, 42], [40, 41, 42]),
        ([40, 50, 42], [40, 41, 42], [40, 41, 42]),
        ([40, 50, 41], [40, 41], [40, DELETE, 41]),
        ([40, 42], [40, 41, 42], [40, INSERT]),
        ([40, 43], [40, 41, 42, 43], [40, INSERT]),
        ([40, MASK, 42], [40, 41, 42], [40, 41, 42]),
        ([40, MASK, MASK, 42], [40, 41, 42], [40, 41, DELETE, 42]),
        ([40, MASK, 43], [40, 41, 42, 43], [40, 41, INSERT]),
        ([50, 51, 43], [41, 43], [41, DELETE, 43]),
        ([50, 43], [41, 42, 43], [41, INSERT]),
    ],
)
def test_each_label(draft: list[int], target: list[int], expected: list[int]) -> None:
    assert labels([*draft, END], [*target, END]) == [*expected, END]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(tokens, tokens), min_size=1, max_size=5))
def test_following_the_labels_arrives(pairs: list[tuple[list[int], list[int]]]) -> None:
    """However far apart, and whatever else is labelled in the same call."""
    length = max(len(text) for pair in pairs for text in pair) + 1
    drafts = [[*draft, *[END] * (length - len(draft))] for draft, _ in pairs]
    targets = [[*target, *[END] * (length - len(target))] for _, target in pairs]
    together = edit_labels(np.array(drafts), np.array(targets)).tolist()
    for (draft, target), draft_row, target_row, said in zip(pairs, drafts, targets, together, strict=True):
        assert said == labels(draft_row, target_row), "drafts of one call do not disturb each other"
        text = [*draft, END]
        for _ in range(2 * length):
            if text == [*target, END]:
                break
            before, text = text, follow(text, labels(text, [*target, END]))
            assert text != before, "a round that changes nothing would never end"
        assert text == [*target, END]


@given(original=tokens, updated=tokens)
def test_aligned_places_run_along_both_texts(original: list[int], updated: list[int]) -> None:
    places = aligned_places(original, updated)
    assert len(places) == len(updated) + 1
    assert places == sorted(places)
    assert places[-1] == len(original)
    if original == updated:
        assert places == list(range(len(original) + 1))


def test_a_draft_continues_behind_the_change() -> None:
    assert aligned_places([1, 2, 3, 4], [1, 9, 3, 4]) == [0, 1, 2, 3, 4]
    assert aligned_places([1, 2, 3], [1, 8, 9, 2, 3]) == [0, 1, 1, 1, 2, 3]
    assert aligned_places([1, 8, 9, 2], [1, 2]) == [0, 3, 4]
