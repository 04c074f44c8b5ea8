"""One request for an inline completion, in the terms of the use case: what is asked about, and where."""

from __future__ import annotations

from dataclasses import dataclass

from lsprotocol import types

from .documents import Document
from .notebooks import Notebooks
from .positions import Encoding
from .text import Text
from .window import Window, window_at


@dataclass(frozen=True, kw_only=True)
class Inquiry:
    """Taken before the first await, while the document is the one asked about."""

    document: Document
    revision: int
    cursor: int
    content: Text
    """What is completed: the document, with the entry chosen in the editor's own list, or within its notebook."""
    offset: int
    """The cursor in `content`."""
    window: Window
    invoked: bool
    chosen: str = ""
    start: int = 0
    end: int = 0
    """The chosen entry would put `chosen` from `start` to `end`."""
    indentation: str = ""
    """One level, as the editor writes it, for a file that does not tell."""
    surroundings: object = ()
    """What of `content` is not in the document. Requests with equal ones may share an answer."""


def inquire(
    document: Document, params: types.InlineCompletionParams, encoding: Encoding, notebooks: Notebooks
) -> Inquiry | None:
    """The inquiry of a request; None when its chosen entry is not at the cursor."""
    cursor = document.offset_at(params.position.line, params.position.character, encoding)
    invoked = params.context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
    selected = params.context.selected_completion_info
    if selected is None:
        return inquire_at(document, cursor, notebooks, invoked=invoked)
    start = document.offset_at(selected.range.start.line, selected.range.start.character, encoding)
    end = document.offset_at(selected.range.end.line, selected.range.end.character, encoding)
    if not start <= cursor <= end:
        return None
    content = document.content.replace(start, end, selected.text)
    offset = start + len(selected.text)
    return Inquiry(
        document=document,
        revision=document.revision,
        cursor=cursor,
        content=content,
        offset=offset,
        window=window_at(content, offset, document.language),
        invoked=invoked,
        chosen=selected.text,
        start=start,
        end=end,
        surroundings=object(),
    )


def inquire_at(document: Document, cursor: int, notebooks: Notebooks, *, invoked: bool = False) -> Inquiry:
    """The inquiry for a cursor (an offset) in a document, which may be a cell of a notebook."""
    around = notebooks.around(document.uri)
    if around is None:
        content, offset, window = document.content, cursor, document.window(cursor)
    else:
        content = Text(around[0] + document.text + around[1])
        offset = len(around[0]) + cursor
        window = window_at(content, offset, document.language)
    return Inquiry(
        document=document,
        revision=document.revision,
        cursor=cursor,
        content=content,
        offset=offset,
        window=window,
        invoked=invoked,
        surroundings=around or (),
    )
