"""When an answer is finished, and what it is worth."""

from __future__ import annotations

import numpy as np
import pytest

from diffill.model.decoding import Answer
from diffill.model.tokenizer import END_OF_MIDDLE

NEWLINE = 50
ENDS_LINE = np.arange(100) == NEWLINE


def test_end_of_middle_ends_it_and_is_no_part_of_it() -> None:
    answer = Answer(max_tokens=9, ends_line=None)
    assert answer.place(60, -1.0)
    assert not answer.place(END_OF_MIDDLE, -2.0)
    assert (answer.finish, answer.tokens) == ("eom", [60])
    assert answer.score == pytest.approx(-1.5)  # to stop is a decision too


def test_line_end_is_part_of_it() -> None:
    answer = Answer(max_tokens=9, ends_line=ENDS_LINE)
    assert answer.place(60, -1.0)
    assert not answer.place(NEWLINE, -1.0)
    assert (answer.finish, answer.tokens) == ("line", [60, NEWLINE])


def test_line_end_counts_only_when_asked_for() -> None:
    answer = Answer(max_tokens=9, ends_line=None)
    assert answer.place(NEWLINE, -1.0)


def test_length_ends_it() -> None:
    answer = Answer(max_tokens=2, ends_line=ENDS_LINE)
    assert answer.place(60, -1.0)
    assert not answer.place(61, -1.0)
    assert (answer.finish, answer.tokens) == ("length", [60, 61])


def test_a_line_end_at_the_length_is_a_line_end() -> None:
    answer = Answer(max_tokens=1, ends_line=ENDS_LINE)
    assert not answer.place(NEWLINE, -1.0)
    assert answer.finish == "line"


def test_nothing_is_worth_nothing() -> None:
    assert Answer(max_tokens=1, ends_line=None).score == 0.0
