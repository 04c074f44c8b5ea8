from __future__ import annotations

import pytest

from diffill.cli.block_view import END_SIGN, MASK_SIGN, BlockView, printable, trace_line
from diffill.model.config import DEFAULT_CHECKPOINT
from diffill.model.request import Step, pack_ids
from diffill.model.tokenizer import END_OF_MIDDLE, MASK, Tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.load(DEFAULT_CHECKPOINT)


def step(forward_pass: int, start: int, ids: list[int], confidence: float = 0.5) -> Step:
    return Step(forward_pass=forward_pass, start=start, tokens=pack_ids(ids), confidence=tuple(confidence for _ in ids))


def test_control_characters_are_escaped() -> None:
    assert printable("a\x1b[31m\n\u202e") == "a\\x1b[31m\\n\\u202e"
    assert printable("a\n\tb\r", keep="\n\t") == "a\n\tb\\r"


def test_trace_line_shows_masks_and_escapes(tokenizer: Tokenizer) -> None:
    (newline,) = tokenizer.encode("\n")
    (word,) = tokenizer.encode("return")
    line = trace_line(step(3, 8, [word, MASK, newline, END_OF_MIDDLE]), tokenizer)
    assert line == f"pass 3, tokens 8-11: return{MASK_SIGN}\\n{END_SIGN}  [0.50 0.50 0.50 0.50]"


def test_picture_keeps_finished_blocks_and_replaces_the_one_in_progress(tokenizer: Tokenizer) -> None:
    (a,), (b,), (c,) = (tokenizer.encode(text) for text in ("a", "b", "c"))
    view = BlockView(tokenizer)
    view.add(step(1, 0, [a, MASK]))
    assert view.picture().plain == f"a{MASK_SIGN}"
    view.add(step(2, 0, [a, b], 0.95))
    view.add(step(3, 2, [MASK, c], 0.1))
    picture = view.picture()
    assert picture.plain == f"ab{MASK_SIGN}c"
    styles = [str(span.style) for span in picture.spans]
    assert styles == ["bold green", "bold green", "dim", "red underline"]
