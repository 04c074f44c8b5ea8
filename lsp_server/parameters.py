"""Parameters that editors send beyond the specification, which the protocol library would drop."""

from __future__ import annotations

from typing import Any, TypeGuard

import attrs
from cattrs import Converter
from lsprotocol import types
from pygls.protocol import default_converter

MAX_TAB_SIZE = 16


@attrs.define
class VersionedInlineCompletionParams(types.InlineCompletionParams):
    """Also tells the version of the document that is asked about and how it is indented, as Copilot's clients do."""

    version: int | None = None
    indentation: str = ""
    """One level, as the editor writes it: a tab or spaces; empty where it does not say."""


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
            version=version if _is_count(version) else None,
            indentation=_indentation(value.get("formattingOptions")),
        )

    chosen.register_structure_hook(types.InlineCompletionParams, read)
    return chosen


def _indentation(options: object) -> str:
    """One level by `formattingOptions`; empty where they are missing or wrong."""
    if not isinstance(options, dict) or not isinstance(options.get("insertSpaces"), bool):
        return ""
    size = options.get("tabSize")
    if not options["insertSpaces"]:
        return "\t"
    return " " * size if _is_count(size) and 0 < size <= MAX_TAB_SIZE else ""


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def plain(value: object) -> object:
    """Parameters of our own methods as plain data.

    pygls makes nested tuples, with names, of what it has no type for.
    """
    fields = getattr(value, "_asdict", None)
    if isinstance(value, tuple) and fields is not None:
        return {name: plain(member) for name, member in fields().items()}
    return [plain(item) for item in value] if isinstance(value, list) else value
