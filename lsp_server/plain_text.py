"""What a model may put into a file without anybody seeing it, and lines that it says over and over."""

from __future__ import annotations

import unicodedata

_MOST_REPEATS = 2
"""Like lines in a row that code has; the model's loops have more."""


def hides_something(text: str, around: str) -> bool:
    """Whether `text` has characters that are not seen, or reorder what is seen, and that the file does not have.

    Bidirectional controls make code read otherwise than it runs (CVE-2021-42574); zero-width characters, variation
    selectors and tags hide whole messages.
    """
    return any(_is_hidden(character) and character not in around for character in set(text))


def without_loops(text: str) -> str:
    """`text` up to where it says the same line a third time in a row."""
    lines = text.split("\n")
    for index in range(_MOST_REPEATS, len(lines)):
        said = {line.strip() for line in lines[index - _MOST_REPEATS : index + 1]}
        if len(said) == 1 and len(said.pop()) > 1:  # brackets may close one line after the other
            return "\n".join(lines[: index - _MOST_REPEATS + 1])
    return text


def _is_hidden(character: str) -> bool:
    if character in "\t\n\r":
        return False
    point = ord(character)
    return (
        unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs")
        or 0xFE00 <= point <= 0xFE0F
        or 0xE0000 <= point <= 0xE0FFF
        or character in "\u115f\u1160\u3164\uffa0\u2800\u2028\u2029\x85"
    )
