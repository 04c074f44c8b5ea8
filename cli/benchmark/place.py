"""A place to complete as the requests sent there; from a file, it can be asked where no server is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from diffill.model.request import DecodeRequest, Mode

from ..replace_file import write_whole


class Place(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One place in a source file."""

    name: str
    cold: DecodeRequest
    """At an empty line."""
    warm: DecodeRequest
    """A character later."""
    before: bytes
    """Tokens of the code before it, for long answers: little-endian uint32."""

    def requests(self, mode: Mode) -> tuple[DecodeRequest, DecodeRequest]:
        """Cold and warm."""
        return msgspec.structs.replace(self.cold, mode=mode), msgspec.structs.replace(self.warm, mode=mode)


def write_places(file: Path, places: Sequence[Place]) -> None:
    """As one JSON document.

    Raises:
        ValueError: the file cannot be written.
    """
    try:
        write_whole(file, msgspec.json.encode(places) + b"\n")
    except OSError as error:
        raise ValueError(f"save-places: {file} cannot be written: {error.strerror}") from None


def read_places(file: Path) -> list[Place]:
    """What `write_places` wrote.

    Raises:
        ValueError: the file is missing or holds something else; one line.
    """
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[Place])
    except OSError as error:
        raise ValueError(f"places: cannot read {file}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise ValueError(f"places: {file}: {error}") from None


def in_turn(modes: Sequence[str], round_: int) -> list[str]:
    """The modes, a different one first each round: what warms up or slows down over time hits all alike."""
    first = round_ % len(modes)
    return [*modes[first:], *modes[:first]]
