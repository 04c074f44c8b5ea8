"""The edit prompt: which lines are revised, and the token ids of the request. One format for everybody. No torch.

`SUFFIX suffix PREFIX prefix INSTRUCTION instruction ORIGINAL original UPDATED`, answered by the updated lines and
END_OF_MIDDLE. Suffix and prefix come first, so that a second diagnostic in the same place reuses their keys and values.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .fim import MAX_PREFIX_TOKENS, MAX_SUFFIX_TOKENS
from .tokenizer import INSTRUCTION, ORIGINAL, PREFIX, SUFFIX, UPDATED, Tokenizer

MAX_ORIGINAL_TOKENS = 320
MAX_INSTRUCTION_TOKENS = 48
# Text beyond this is not looked at: cost must not grow with the file. Four characters a token is usual, eight is rare.
_CHARACTERS_PER_TOKEN = 8


@dataclass(frozen=True, kw_only=True)
class EditPrompt:
    """What the engine is given for one edit."""

    ids: list[int]
    draft: list[int]
    """Token ids of the original: what the answer is likely to resemble."""


@dataclass(frozen=True, kw_only=True)
class EditRegion:
    """Whole lines to revise, and what stands around them: `prefix + original + suffix` is the document (LF)."""

    prefix: str
    original: str
    suffix: str

    def prompt(self, instruction: str, tokenizer: Tokenizer) -> EditPrompt:
        """The request for this region.

        Args:
            instruction: a diagnostic, a commit subject, or nothing; its white space becomes single spaces.

        Raises:
            ValueError: the region is longer than `MAX_ORIGINAL_TOKENS`; it cannot be cut, a smaller one must be taken.
        """
        original = tokenizer.encode(self.original)
        ids = edit_prompt(
            tokenizer.encode(_last_lines(self.prefix, MAX_PREFIX_TOKENS * _CHARACTERS_PER_TOKEN)),
            original,
            tokenizer.encode(self.suffix[: MAX_SUFFIX_TOKENS * _CHARACTERS_PER_TOKEN]),
            tokenizer.encode(" ".join(instruction.split())),
        )
        return EditPrompt(ids=ids, draft=original)


def edit_region(text: str, first: int, last: int) -> EditRegion:
    """The lines `first` to `last` of a document, 1-based and inclusive, with their line ends, which become LF.

    Raises:
        ValueError: the lines are not in the document.
    """
    # Not splitlines(): a form feed or U+2028 ends no line in an editor.
    lines = re.findall(r"[^\n]*\n|[^\n]+$", text.replace("\r\n", "\n").replace("\r", "\n"))
    if not 1 <= first <= last <= len(lines):
        raise ValueError(f"lines: {first} to {last} are not within 1 to {len(lines)}")
    return EditRegion(
        prefix="".join(lines[: first - 1]), original="".join(lines[first - 1 : last]), suffix="".join(lines[last:])
    )


def edit_prompt(
    prefix: Sequence[int],
    original: Sequence[int],
    suffix: Sequence[int],
    instruction: Sequence[int] = (),
    *,
    max_prefix: int = MAX_PREFIX_TOKENS,
    max_suffix: int = MAX_SUFFIX_TOKENS,
) -> list[int]:
    """Token ids of an edit request; prefix and suffix are cut to what is nearest to the region.

    Raises:
        ValueError: `original` is longer than `MAX_ORIGINAL_TOKENS`.
    """
    if len(original) > MAX_ORIGINAL_TOKENS:
        raise ValueError(f"original: {len(original)} tokens, at most {MAX_ORIGINAL_TOKENS} can be revised at once")
    near_prefix = prefix[max(0, len(prefix) - max_prefix) :]
    return [
        SUFFIX, *suffix[:max_suffix], PREFIX, *near_prefix,
        INSTRUCTION, *instruction[:MAX_INSTRUCTION_TOKENS], ORIGINAL, *original, UPDATED,
    ]  # fmt: skip


def _last_lines(text: str, characters: int) -> str:
    """At most so many characters of the end of `text`, from the start of a line where one begins in them."""
    if len(text) <= characters:
        return text
    tail = text[-characters:]
    return tail[tail.find("\n") + 1 :]
