"""A repair as the edit that an editor applies: for one version of the document, and marked where it needs a look."""

from __future__ import annotations

from dataclasses import dataclass

from lsprotocol import types

from .documents import Document, Edit
from .positions import Encoding
from .repair.repair import Repair

ANNOTATION = "diffill"


@dataclass(frozen=True, kw_only=True)
class EditSupport:
    """What the client understands of a workspace edit."""

    versions: bool
    """`documentChanges`: edits name the version that they are for, and a stale one is refused."""
    annotations: bool
    """`changeAnnotations`: edits say what they are and whether the person has to confirm them."""

    @classmethod
    def of(cls, capabilities: types.ClientCapabilities) -> EditSupport:
        workspace = capabilities.workspace
        support = workspace.workspace_edit if workspace is not None else None
        action = capabilities.text_document.code_action if capabilities.text_document is not None else None
        return cls(
            versions=support is not None and bool(support.document_changes),
            annotations=support is not None
            and support.change_annotation_support is not None
            and (action is None or action.honors_change_annotations is not False),
        )


def workspace_edit(
    document: Document, repair: Repair, *, title: str, encoding: Encoding, support: EditSupport
) -> types.WorkspaceEdit:
    """The edits of `repair` to `document`, as far as the client understands them."""
    parts = [(document, repair.edits), *((there.document, there.edits) for there in repair.elsewhere)]
    changed = [(part, text_edits(part, edits, encoding)) for part, edits in parts if edits]
    if not support.versions:
        return types.WorkspaceEdit(changes={part.uri: edits for part, edits in changed})
    annotation = types.ChangeAnnotation(
        label=title,
        needs_confirmation=not repair.verified or len(repair.edits) > 1,
        description="checked" if repair.verified else f"not verified: {repair.note or 'no tool was asked'}",
    )
    return types.WorkspaceEdit(
        document_changes=[_document_edit(part, edits, annotated=support.annotations) for part, edits in changed],
        change_annotations={ANNOTATION: annotation} if support.annotations else None,
    )


def _document_edit(document: Document, edits: list[types.TextEdit], *, annotated: bool) -> types.TextDocumentEdit:
    # Version 0 is a file that is not open: what is on disk is meant, which the protocol calls null.
    identifier = types.OptionalVersionedTextDocumentIdentifier(uri=document.uri, version=document.version or None)
    if not annotated:
        return types.TextDocumentEdit(text_document=identifier, edits=edits)
    marked = [
        types.AnnotatedTextEdit(range=edit.range, new_text=edit.new_text, annotation_id=ANNOTATION) for edit in edits
    ]
    return types.TextDocumentEdit(text_document=identifier, edits=marked)


def text_edits(document: Document, edits: list[Edit], encoding: Encoding) -> list[types.TextEdit]:
    """The edits alone, in order."""
    return [
        types.TextEdit(range=range_of(document, edit.start, edit.end, encoding), new_text=edit.text) for edit in edits
    ]


def range_of(document: Document, start: int, end: int, encoding: Encoding) -> types.Range:
    """The protocol's range of the characters from `start` to `end`."""
    return types.Range(
        start=types.Position(*document.position_at(start, encoding)),
        end=types.Position(*document.position_at(end, encoding)),
    )
