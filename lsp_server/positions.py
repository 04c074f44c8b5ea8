"""Columns in the units that editors count: bytes of utf-8, code units of utf-16, or characters (utf-32)."""

from __future__ import annotations

from typing import Literal, get_args

Encoding = Literal["utf-8", "utf-16", "utf-32"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)

_BYTES_PER_UNIT = {"utf-8": 1, "utf-16": 2}
_CODECS = {"utf-8": "utf-8", "utf-16": "utf-16-le"}
_CONTINUATION_BYTES = bytes(range(0x80, 0xC0))
_NOT_FIRST_OF_PAIR = bytes(byte for byte in range(256) if not 0xD8 <= byte < 0xDC)
"""High bytes of the utf-16 units that do not begin a pair."""


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
    nearest = line[:units]
    if encoding == "utf-8":
        data = nearest.encode("utf-8", "surrogatepass")
        whole = len(data[:units].translate(None, _CONTINUATION_BYTES))
        return whole - (data[units : units + 1] > b"\x7f" and data[units : units + 1] < b"\xc0")
    try:
        high_bytes = nearest.encode("utf-16-le")[1 : 2 * units : 2]
    except UnicodeEncodeError:  # half a pair that stands alone; two of those beside each other are not one character
        return _counted(nearest, units)
    # Of a pair that is cut in two only the first half is here, and counts as one of both.
    return len(high_bytes) - len(high_bytes.translate(None, _NOT_FIRST_OF_PAIR))


def _counted(text: str, units: int) -> int:
    counted = 0
    for index, character in enumerate(text):
        counted += 2 if character > "\uffff" else 1
        if counted > units:
            return index
    return len(text)
