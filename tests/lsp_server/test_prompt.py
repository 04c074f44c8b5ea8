"""The prompt with the shipped vocabulary."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffill.lsp_server.prompt import build_prompt, encode_in_pieces
from diffill.model.config import DEFAULT_CHECKPOINT
from diffill.model.fim import MAX_PREFIX_TOKENS, MAX_SUFFIX_TOKENS
from diffill.model.tokenizer import MIDDLE, PREFIX, SUFFIX, Tokenizer
from tests.engine_process import tokenizer as shipped_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.load(DEFAULT_CHECKPOINT)


def parts(ids: list[int]) -> tuple[list[int], list[int]]:
    """Suffix and prefix."""
    at = ids.index(PREFIX)
    return ids[1:at], ids[at + 1 : -1]


LINES = "".join(f"    value_{n} = compute(value_{n - 1}, {n})\n" for n in range(2000))


def test_suffix_first_then_prefix(tokenizer: Tokenizer) -> None:
    prompt = build_prompt("x = foo(", ")\ny = 2\n", tokenizer)
    assert prompt.ids == [SUFFIX, *tokenizer.encode(")\ny = 2\n"), PREFIX, *tokenizer.encode("x = foo("), MIDDLE]


def test_control_names_in_the_text_are_text(tokenizer: Tokenizer) -> None:
    ids = build_prompt("x = '<|middle|>", "<|suffix|>'", tokenizer).ids
    assert [ids.count(control) for control in (SUFFIX, PREFIX, MIDDLE)] == [1, 1, 1]
    assert tokenizer.decode(parts(ids)[1]) == "x = '<|middle|>"


def test_line_ends_become_line_feeds(tokenizer: Tokenizer) -> None:
    assert build_prompt("a\r\nb\rc", "\r\nd", tokenizer) == build_prompt("a\nb\nc", "\nd", tokenizer)


def test_budgets_keep_what_is_near_and_cut_between_lines(tokenizer: Tokenizer) -> None:
    suffix, prefix = parts(build_prompt(LINES + "x = ", "\n" + LINES, tokenizer).ids)
    assert MAX_PREFIX_TOKENS // 4 < len(prefix) <= MAX_PREFIX_TOKENS
    assert MAX_SUFFIX_TOKENS // 2 < len(suffix) <= MAX_SUFFIX_TOKENS
    assert (LINES + "x =").endswith("\n" + tokenizer.decode(prefix))
    assert ("\n" + LINES).startswith(tokenizer.decode(suffix))
    assert not tokenizer.decode(suffix).rpartition("\n")[2].strip()  # the last token may hold indentation too


def test_typing_only_extends_the_prefix(tokenizer: Tokenizer) -> None:
    """Over seven typed lines the start of the prefix moves at most once, and the suffix never."""
    typed = LINES[:40_000]
    suffix = "\n" + LINES
    starts = []
    for line in range(7):
        typed += f"    other_{line} = 1\n"
        prompt_suffix, prefix = parts(build_prompt(typed, suffix, tokenizer).ids)
        starts.append((tuple(prompt_suffix), tuple(prefix[:50])))
    assert len(set(starts)) <= 2


def test_the_file_s_size_does_not_change_the_prompt(tokenizer: Tokenizer) -> None:
    sixteen_lines_aligned = "y = 1\n" * 16 * 3000
    near = build_prompt(LINES + "x = ", "\n" + LINES[:20_000], tokenizer)
    far = build_prompt(sixteen_lines_aligned + LINES + "x = ", "\n" + LINES[:20_000] + "z = 1\n" * 50_000, tokenizer)
    assert near == far


class CountingTokenizer(Tokenizer):
    """Counts the characters it is given."""

    characters = 0

    def encode(self, text: str) -> list[int]:
        self.characters += len(text)
        return super().encode(text)


def test_the_work_is_bounded(tokenizer: Tokenizer) -> None:
    counting = CountingTokenizer(tokenizer._backend)
    build_prompt(LINES * 20, LINES * 20, counting)
    assert counting.characters < 4 * 8 * (MAX_PREFIX_TOKENS + MAX_SUFFIX_TOKENS)


@pytest.mark.parametrize(
    "prefix", ["x" * 100_000, "€" * 20_000, "0" * 50_000, "\n" * 9000, "\r" * 9000, "\ud83d" * 3000]
)
def test_text_without_any_place_to_cut(tokenizer: Tokenizer, prefix: str) -> None:
    suffix_ids, prefix_ids = parts(build_prompt(prefix, prefix, tokenizer).ids)
    assert 0 < len(prefix_ids) <= MAX_PREFIX_TOKENS
    assert 0 < len(suffix_ids) <= MAX_SUFFIX_TOKENS


def test_nothing_around_the_cursor(tokenizer: Tokenizer) -> None:
    assert build_prompt("", "", tokenizer).ids == [SUFFIX, PREFIX, MIDDLE]


def test_a_space_before_the_cursor_is_the_answer_s(tokenizer: Tokenizer) -> None:
    prompt = build_prompt("if x:\n    y = ", "\n", tokenizer)
    assert tokenizer.decode(parts(prompt.ids)[1]) == "if x:\n    y ="
    assert prompt.cut.space and prompt.cut.answer(" x + 1") == "x + 1"


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_blank_line_s_indentation_opens_the_middle(tokenizer: Tokenizer, line_end: str) -> None:
    prompt = build_prompt(f"if x:{line_end}        ", f"{line_end}z = 1", tokenizer)
    given = tokenizer.encode("       ")
    assert prompt.ids[-len(given) - 1 :] == [MIDDLE, *given] and prompt.cut.space
    assert tokenizer.decode(prompt.ids[: -len(given)]) == "\nz = 1if x:\n"


@pytest.mark.parametrize("blank", ["", "\t\t"])
def test_nothing_is_taken_off_where_no_space_is(tokenizer: Tokenizer, blank: str) -> None:
    prompt = build_prompt("if x:\n" + blank, "", tokenizer)
    assert not prompt.cut.space and prompt.cut.answer(" x") == " x"
    assert tokenizer.decode(prompt.ids) == "if x:\n" + blank


def test_a_new_line_keeps_the_suffix_and_so_the_cache(tokenizer: Tokenizer) -> None:
    code = build_prompt("if x:\n    y", "\nz = 1", tokenizer).ids
    blank = build_prompt("if x:\n    y\n    ", "\nz = 1", tokenizer).ids
    assert parts(code)[0] == parts([*blank[: blank.index(MIDDLE) + 1]])[0]


PIECES = [
    "\n",
    "\n\n",
    " ",
    "    ",
    "\t",
    "x",
    "it's",
    "42",
    "é",
    "😀",
    "\ud83d",
    "\x0c",
    "\x1c",
    "\x85",
    "\u2028",
    "\xa0",
    ":",
    "\x00",
]


@given(st.lists(st.sampled_from(PIECES), max_size=200).map("".join))
def test_pieces_are_encoded_as_the_whole_is(text: str) -> None:
    assert encode_in_pieces(text, shipped_tokenizer()) == shipped_tokenizer().encode(text)
