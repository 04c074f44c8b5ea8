"""What a person can ask for besides completions, as it travels: `data` of an action, and the argument of a command."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec.structs import replace
from pygls.exceptions import JsonRpcInvalidParams

MAX_TITLE = 72
Kind = Literal["fix", "rewrite", "completeBody", "nextEdit"]


class Position(msgspec.Struct, frozen=True, kw_only=True):
    line: int
    character: int


class Range(msgspec.Struct, frozen=True, kw_only=True):
    start: Position
    end: Position


class Task(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be done: `data` of an action, and the one argument of a command."""

    uri: str
    range: Range
    kind: Kind = "fix"
    version: int | None = None
    """Of the document that the range is for; None for whatever it is now."""
    code: str = ""
    message: str = ""
    source: str = ""
    """The tool that reported the diagnostic."""
    unnecessary: bool = False
    instruction: str = ""

    @property
    def title(self) -> str:
        if self.kind == "completeBody":
            return "Complete this function's body"
        if self.kind == "nextEdit":
            return "Make the same change elsewhere"
        if self.kind == "rewrite":
            return f"Rewrite: {self.instruction}"[:MAX_TITLE] if self.instruction else "Rewrite the selection"
        what = " ".join(self.message.split())
        return f"Fix this: {what if len(what) <= MAX_TITLE else what[: MAX_TITLE - 1] + '…'}"


class _Document(msgspec.Struct, frozen=True, kw_only=True):
    uri: str
    version: int | None = None


class _InlineEditParams(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    text_document: _Document
    position: Position


def next_edit_task(params: object) -> Task:
    """The task of a request for the next edits in place.

    Raises:
        JsonRpcInvalidParams: as `read_task`.
    """
    try:
        asked = msgspec.convert(params, _InlineEditParams)
    except msgspec.ValidationError as error:
        raise JsonRpcInvalidParams(str(error)) from None
    place = Range(start=asked.position, end=asked.position)
    return Task(kind="nextEdit", uri=asked.text_document.uri, version=asked.text_document.version, range=place)


def read_task(kind: Kind | None, value: object) -> Task:
    """A task from what a client sent; `kind` is that of the command, None where the value names it itself.

    Raises:
        JsonRpcInvalidParams: it has not the form of a task; the message names the member.
    """
    try:
        task = msgspec.convert(value, Task)
    except msgspec.ValidationError as error:
        raise JsonRpcInvalidParams(str(error)) from None
    return task if kind is None else replace(task, kind=kind)


def wire(task: Task) -> dict[str, object]:
    """A task as plain data."""
    plain: dict[str, object] = msgspec.to_builtins(task)
    return plain
