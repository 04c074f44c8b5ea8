"""Columns in the units that editors count: bytes of utf-8, code units of utf-16, or characters (utf-32)."""

from __future__ import annotations

from typing import Literal, get_args

Encoding = Literal["utf-8", "utf-16", "utf-32"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)

_BYTES_PER_UNIT = {"utf-8": 1, "utf-16": 2}
_CODECS = {"utf-8": "utf-8", "utf-16": "utf-16-le"}


def to_units(text: str, encoding: Encoding) -> int:
    """How many units `text` takes. A lone surrogate counts as what the editor holds: one utf-16 unit, three bytes."""
    if encoding == "utf-32" or text.isascii():
        return len(text)
    return len(text.encode(_CODECS[encoding], "surrogatepass")) // _BYTES_PER_UNIT[encoding]


def to_characters(line: str, units: int, encoding: Encoding) -> int:
    """The character index in `line` that lies `units` units from its start.

    Beyond the end means the end. Inside a character (between two surrogates) means before that character: a cut must
    never leave half of one.
    """
    if units <= 0:
        return 0
    if encoding == "utf-32" or line.isascii():
        return min(units, len(line))
    # A line of n characters has at least n units, so nothing after the first `units` characters can matter.
    counted = 0
    for index, character in enumerate(line[:units]):
        counted += _width(ord(character), encoding)
        if counted > units:
            return index
    return min(units, len(line))


def _width(code_point: int, encoding: Encoding) -> int:
    if encoding == "utf-16":
        return 2 if code_point > 0xFFFF else 1
    return 1 + (code_point > 0x7F) + (code_point > 0x7FF) + (code_point > 0xFFFF)
