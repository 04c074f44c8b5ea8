"""Parameters that editors send beyond the specification, which the protocol library would drop."""

from __future__ import annotations

from typing import Any

import attrs
from cattrs import Converter
from lsprotocol import types
from pygls.protocol import default_converter


@attrs.define
class VersionedInlineCompletionParams(types.InlineCompletionParams):
    """Also tells the version of the document that is asked about, as Copilot's clients do."""

    version: int | None = None


def converter() -> Converter:
    """JSON to the protocol's types and back."""
    chosen: Converter = default_converter()  # type: ignore[no-untyped-call]
    structure = chosen.get_structure_hook(types.InlineCompletionParams)

    def read(value: Any, _: type) -> VersionedInlineCompletionParams:
        params: types.InlineCompletionParams = structure(value, types.InlineCompletionParams)
        version = value["textDocument"].get("version")
        return VersionedInlineCompletionParams(
            context=params.context,
            text_document=params.text_document,
            position=params.position,
            work_done_token=params.work_done_token,
            version=version if isinstance(version, int) and not isinstance(version, bool) else None,
        )

    chosen.register_structure_hook(types.InlineCompletionParams, read)
    return chosen


def plain(value: object) -> object:
    """Parameters of our own methods as plain data.

    pygls makes nested tuples, with names, of what it has no type for.
    """
    fields = getattr(value, "_asdict", None)
    if isinstance(value, tuple) and fields is not None:
        return {name: plain(member) for name, member in fields().items()}
    return [plain(item) for item in value] if isinstance(value, list) else value
