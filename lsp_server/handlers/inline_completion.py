"""Inline completion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types

if TYPE_CHECKING:
    from ..server import Server


def register(server: Server) -> None:
    """Answer `textDocument/inlineCompletion`."""

    # Without options pygls does not advertise the feature at all.
    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def inline_completion(params: types.InlineCompletionParams) -> types.InlineCompletionList | None:
        return await server.session.completions.answer(params) if server.session else None
