"""The edit prompt: the document is cut between lines, nothing is lost, and a region is never cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffill.model.config import DEFAULT_CHECKPOINT
from diffill.model.edit_prompt import (
    MAX_INSTRUCTION_TOKENS,
    MAX_ORIGINAL_TOKENS,
    EditRegion,
    edit_prompt,
    edit_region,
)
from diffill.model.fim import MAX_PREFIX_TOKENS
from diffill.model.tokenizer import INSTRUCTION, NUM_CONTROL_IDS, ORIGINAL, PREFIX, SUFFIX, UPDATED, Tokenizer

TOKENIZER = Tokenizer.load(DEFAULT_CHECKPOINT)
ids = st.lists(st.integers(NUM_CONTROL_IDS, 300), max_size=30)


@given(text=st.text(st.sampled_from("ab \n\r\f\u2028"), min_size=1, max_size=30), data=st.data())
def test_a_region_is_whole_lines_and_nothing_is_lost(text: str, data: st.DataObject) -> None:
    document = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = document.count("\n") + (not document.endswith("\n"))
    first = data.draw(st.integers(1, lines))
    last = data.draw(st.integers(first, lines))
    region = edit_region(text, first, last)
    assert region.prefix + region.original + region.suffix == document
    assert region.prefix.count("\n") == first - 1
    assert region.original.count("\n") + (not region.original.endswith("\n")) == last - first + 1
    assert not region.suffix or region.original.endswith("\n")


@pytest.mark.parametrize("first, last", [(0, 1), (2, 1), (3, 3), (1, 3)])
def test_lines_that_are_not_there(first: int, last: int) -> None:
    with pytest.raises(ValueError, match=f"lines: {first} to {last} are not within 1 to 2"):
        edit_region("a\nb\n", first, last)


@given(prefix=ids, original=ids, suffix=ids, instruction=ids, budget=st.integers(0, 20))
def test_what_is_nearest_stays(
    prefix: list[int], original: list[int], suffix: list[int], instruction: list[int], budget: int
) -> None:
    prompt = edit_prompt(prefix, original, suffix, instruction, max_prefix=budget, max_suffix=budget)
    expected = [
        SUFFIX, *suffix[:budget], PREFIX, *(prefix[-budget:] if budget else []),
        INSTRUCTION, *instruction, ORIGINAL, *original, UPDATED,
    ]  # fmt: skip
    assert prompt == expected


def test_the_parts_are_tokenised_alone_and_the_instruction_is_one_line() -> None:
    region = EditRegion(prefix="def f(x):\n", original="    return y\n", suffix="\n\nprint(f(1))\n")
    prompt = region.prompt("F821  undefined\nname 'y'", TOKENIZER)
    parts, part = [], []
    for token in [*prompt.ids, UPDATED]:
        if token < NUM_CONTROL_IDS:
            parts.append(TOKENIZER.decode(part))
            part = []
        else:
            part.append(token)
    assert parts == ["", region.suffix, region.prefix, "F821 undefined name 'y'", region.original, ""]
    assert TOKENIZER.decode(prompt.draft) == region.original


def test_a_long_document_is_cut_between_lines_and_a_long_region_refused() -> None:
    line = "    value = compute(value)\n"
    region = EditRegion(prefix=line * 5000, original=line, suffix=line * 5000)
    prompt = region.prompt("x" * 5000, TOKENIZER)
    control = [index for index, token in enumerate(prompt.ids) if token < NUM_CONTROL_IDS]
    assert [prompt.ids[index] for index in control] == [SUFFIX, PREFIX, INSTRUCTION, ORIGINAL, UPDATED]
    assert control[2] - control[1] - 1 == MAX_PREFIX_TOKENS
    assert control[3] - control[2] - 1 == MAX_INSTRUCTION_TOKENS
    with pytest.raises(ValueError, match=f"original: .* at most {MAX_ORIGINAL_TOKENS}"):
        EditRegion(prefix="", original=line * 400, suffix="").prompt("", TOKENIZER)
