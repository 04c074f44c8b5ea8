"""Text to ids and back with the shipped vocabulary: nothing is lost, and text is never a control id."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffill.model.config import DEFAULT_CHECKPOINT
from diffill.model.tokenizer import (
    CONTROL_NAMES,
    END_OF_MIDDLE,
    END_OF_TEXT,
    MASK,
    NUM_CONTROL_IDS,
    TOKENIZER_FILE,
    Tokenizer,
)
from tests.tiny import VOCABULARY_SIZE, tiny_tokenizer

SHIPPED = Tokenizer.load(DEFAULT_CHECKPOINT)
TINY = tiny_tokenizer()
# The start vocabulary was made from text in which these bytes never occurred: some control characters, and the first
# byte of the unassigned planes 4 to 11.
UNSPELLABLE = "\x04\x06\x13\x14\x16\x1d"
spellable = st.characters(exclude_categories=["Cs"], exclude_characters=UNSPELLABLE, max_codepoint=0x3FFFF)
code = st.text(st.sampled_from("def f(x):\n    return <|>_.#'\"\t\r0123456789éß漢🎉"))
CONTROL_STRINGS = [*CONTROL_NAMES.values(), "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<jupyter_output>"]


@settings(max_examples=300, deadline=None)
@given(st.text(spellable) | code)
def test_text_comes_back(text: str) -> None:
    ids = SHIPPED.encode(text)
    assert SHIPPED.decode(ids) == text
    assert all(NUM_CONTROL_IDS <= index < SHIPPED.vocabulary_size for index in ids)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text_comes_back_by_bytes(text: str) -> None:
    assert TINY.decode(TINY.encode(text)) == text


@pytest.mark.parametrize("character", UNSPELLABLE)
def test_a_character_without_a_token_is_left_out(character: str) -> None:
    assert SHIPPED.decode(SHIPPED.encode(f"a{character}b")) == "ab"


@given(st.text(st.characters()))
def test_any_text_is_encoded(text: str) -> None:
    """Lone surrogates come from editors that send half a character."""
    assert all(index >= NUM_CONTROL_IDS for index in SHIPPED.encode(text))


def test_a_lone_surrogate_is_one_character() -> None:
    assert SHIPPED.decode(SHIPPED.encode("a\ud800b")) == "a?b"


@pytest.mark.parametrize("tokenizer", [SHIPPED, TINY], ids=["shipped", "tiny"])
@pytest.mark.parametrize("name", CONTROL_STRINGS)
def test_control_strings_are_text(tokenizer: Tokenizer, name: str) -> None:
    for text in (name, f"x = '{name}'", name * 3, f"\n{name}\n"):
        ids = tokenizer.encode(text)
        assert min(ids) >= NUM_CONTROL_IDS
        assert tokenizer.decode(ids) == text


def test_control_ids_are_no_text() -> None:
    ids = SHIPPED.encode("hello")
    assert SHIPPED.decode([MASK, *ids, END_OF_MIDDLE]) == "hello"
    assert SHIPPED.decode(range(NUM_CONTROL_IDS)) == ""
    assert {*CONTROL_NAMES, END_OF_TEXT} <= set(range(NUM_CONTROL_IDS))


def test_a_cut_character_is_replaced() -> None:
    ids = TINY.encode("é")
    assert len(ids) == 2
    assert TINY.decode(ids[:1]) == "\ufffd"


@pytest.mark.parametrize("tokenizer", [SHIPPED, TINY], ids=["shipped", "tiny"])
def test_ends_line(tokenizer: Tokenizer) -> None:
    flags = tokenizer.ends_line
    assert flags.shape == (tokenizer.vocabulary_size,)
    assert flags.dtype == np.bool_
    wanted = ["\n" in tokenizer.decode([index]) for index in range(tokenizer.vocabulary_size)]
    assert flags.tolist() == wanted
    assert any(wanted)


@pytest.mark.parametrize("tokenizer", [SHIPPED, TINY], ids=["shipped", "tiny"])
def test_begins_with_space(tokenizer: Tokenizer) -> None:
    wanted = [tokenizer.decode([index]).startswith(" ") for index in range(tokenizer.vocabulary_size)]
    assert tokenizer.begins_with_space.tolist() == wanted
    assert any(wanted)


def test_digits_are_single() -> None:
    """Whatever the merges say: numbers are then cut the same way wherever they stand."""
    assert len(SHIPPED.encode("12345")) == 5
    controls = [f"<{index}>" for index in range(NUM_CONTROL_IDS)]
    made = Tokenizer.from_vocabulary([*controls, "1", "2", "a", "b", "12", "ab"], [("1", "2"), ("a", "b")])
    assert made.encode("ab12") == [NUM_CONTROL_IDS + index for index in (5, 0, 1)]


def test_saved_and_loaded(tmp_path: Path) -> None:
    TINY.save(tmp_path)
    back = Tokenizer.load(tmp_path)
    assert back.vocabulary_size == VOCABULARY_SIZE
    assert back.encode("def é():\n<|mask|>") == TINY.encode("def é():\n<|mask|>")


@pytest.mark.parametrize("content", ["", "{}", "[]", "\0", '{"model": {"type": "BPE"}}'])
def test_not_a_tokenizer(tmp_path: Path, content: str) -> None:
    (tmp_path / TOKENIZER_FILE).write_text(content)
    with pytest.raises(ValueError, match="is not a tokenizer") as caught:
        Tokenizer.load(tmp_path)
    assert "\n" not in str(caught.value)
