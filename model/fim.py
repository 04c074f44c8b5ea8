"""The fill-in-the-middle prompt: where the hole is cut, and its token ids. One format for everybody. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .tokenizer import MIDDLE, PREFIX, SUFFIX, Tokenizer

MAX_PREFIX_TOKENS = 384
MAX_SUFFIX_TOKENS = 128


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Text before a cursor, cut where tokens of real text end: `prefix`, `opening` and, if `space`, one space."""

    prefix: str
    opening: str
    """Handed over as the start of the middle."""
    space: bool
    """The last space was taken off: the answer starts with it."""

    def prompt(self, suffix: str, tokenizer: Tokenizer) -> list[int]:
        return fim_prompt(*(tokenizer.encode(part) for part in (self.prefix, suffix, self.opening)))

    def answer(self, text: str) -> str:
        """What `text`, the decoded answer, adds to the text before the cursor."""
        return text.removeprefix(" ") if self.space else text


def cut_before_cursor(text: str) -> Cut:
    """Cut the text before a cursor. Line ends are LF.

    A cursor is often inside a token: in `x = foo` the space belongs to the token ` foo`, and a prompt that ends in the
    space asks for a word that hardly ever follows one. So the space goes to the answer. On a line that is still blank,
    the whole line is the model's to write, its indentation being the part that is already there.
    """
    space = text.endswith(" ")
    text = text.removesuffix(" ")
    start = text.rfind("\n") + 1
    if text[start:].strip():
        return Cut(prefix=text, opening="", space=space)
    return Cut(prefix=text[:start], opening=text[start:], space=space)


def fim_prompt(
    prefix: Sequence[int],
    suffix: Sequence[int],
    opening: Sequence[int] = (),
    *,
    max_prefix: int = MAX_PREFIX_TOKENS,
    max_suffix: int = MAX_SUFFIX_TOKENS,
) -> list[int]:
    """`SUFFIX suffix PREFIX prefix MIDDLE opening`, prefix and suffix cut to what is nearest to the cursor.

    The suffix comes first (SPM, arXiv 2207.14255) so that typing only extends the cached prefix.
    """
    near_prefix = prefix[max(0, len(prefix) - max_prefix) :]
    return [SUFFIX, *suffix[:max_suffix], PREFIX, *near_prefix, MIDDLE, *opening]
