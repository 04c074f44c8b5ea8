"""The prompt: what is nearest to the cursor stays, and the cut before the cursor loses nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from diffill.model.config import DEFAULT_CHECKPOINT
from diffill.model.fim import cut_before_cursor, fim_prompt
from diffill.model.tokenizer import MIDDLE, NUM_CONTROL_IDS, PREFIX, SUFFIX, Tokenizer

TOKENIZER = Tokenizer.load(DEFAULT_CHECKPOINT)
ids = st.lists(st.integers(NUM_CONTROL_IDS, 300), max_size=30)
code = st.text(st.sampled_from("ab= \t\n"), max_size=30)


@given(prefix=ids, suffix=ids, opening=ids, max_prefix=st.integers(0, 20), max_suffix=st.integers(0, 20))
def test_prompt_keeps_what_is_nearest(
    prefix: list[int], suffix: list[int], opening: list[int], max_prefix: int, max_suffix: int
) -> None:
    prompt = fim_prompt(prefix, suffix, opening, max_prefix=max_prefix, max_suffix=max_suffix)
    before, after = prompt.index(PREFIX), prompt.index(MIDDLE)
    kept_suffix, kept_prefix = prompt[1:before], prompt[before + 1 : after]
    assert prompt[0] == SUFFIX
    assert kept_suffix == suffix[:max_suffix]
    assert len(kept_prefix) == min(len(prefix), max_prefix)
    assert prefix[len(prefix) - len(kept_prefix) :] == kept_prefix
    assert prompt[after + 1 :] == opening


@given(code)
def test_the_cut_loses_nothing(text: str) -> None:
    cut = cut_before_cursor(text)
    assert cut.prefix + cut.opening + " " * cut.space == text
    assert not cut.opening.strip()
    assert "\n" not in cut.opening
    assert cut.space == text.endswith(" ")
    if cut.opening:
        assert cut.prefix.endswith("\n") or not cut.prefix


@given(before=code, after=code)
def test_the_parts_are_tokenised_alone(before: str, after: str) -> None:
    """As in training, where a hole is cut at characters."""
    cut = cut_before_cursor(before)
    prompt = cut.prompt(after, TOKENIZER)
    place, end = prompt.index(PREFIX), prompt.index(MIDDLE)
    assert TOKENIZER.decode(prompt[1:place]) == after
    assert TOKENIZER.decode(prompt[place + 1 : end]) == cut.prefix
    assert TOKENIZER.decode(prompt[end + 1 :]) == cut.opening


def test_the_space_that_was_taken_off_is_not_given_twice() -> None:
    assert cut_before_cursor("x = ").answer(" 1") == "1"
    assert cut_before_cursor("x = ").answer("  1") == " 1"
    assert cut_before_cursor("x = ").answer("1") == "1"
    assert cut_before_cursor("x =").answer(" 1") == " 1"
