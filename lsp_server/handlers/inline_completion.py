"""Inline completion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lsprotocol import types

from ..events import ACCEPTED
from ..parameters import VersionedInlineCompletionParams

if TYPE_CHECKING:
    from ..server import Server


def register(server: Server) -> None:
    """Answer `textDocument/inlineCompletion`."""

    # Without options pygls does not advertise the feature at all.
    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def inline_completion(params: VersionedInlineCompletionParams) -> types.InlineCompletionList | None:
        if server.session is None:
            return None
        return await server.session.completions.answer(params, params.version, params.indentation)

    @server.command(ACCEPTED)
    def accepted(*arguments: Any) -> None:
        """What an editor runs after it inserted a completion; its one argument is the completion's id."""
        if server.session is not None and arguments and isinstance(arguments[0], str):
            server.session.completions.accepted(arguments[0])
