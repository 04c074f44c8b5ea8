"""The messages by which an editor keeps us told of its files and notebooks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from lsprotocol import types
from pygls.protocol import LanguageServerProtocol, lsp_method

from .documents import Document, Documents, Edit
from .notebooks import Notebooks
from .positions import Encoding

log = logging.getLogger(__name__)

_Change = types.TextDocumentContentChangePartial | types.TextDocumentContentChangeWholeDocument


class DocumentSync(LanguageServerProtocol):
    """Documents and notebooks as the editor has them. What does not fit is left out and logged, never guessed at."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.documents = Documents()
        self.notebooks = Notebooks(self.documents)
        self.encoding: Encoding = "utf-16"

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> None:
        self._open(params.text_document)

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> None:
        self._change(params.text_document.uri, params.text_document.version, params.content_changes)

    def _open(self, item: types.TextDocumentItem) -> None:
        self.documents.open(
            Document(uri=item.uri, language=str(item.language_id), version=item.version, text=item.text)
        )

    def _change(self, uri: str, version: int, changes: Sequence[_Change]) -> None:
        document = self.documents.get(uri)
        if document is None:
            log.warning("an edit came for a document that is not open")
            return
        if version < document.version:
            log.warning("an edit came for a version that is gone: it is left out")
            return
        document.version = version
        for change in changes:
            if isinstance(change, types.TextDocumentContentChangePartial):
                start = document.offset_at(change.range.start.line, change.range.start.character, self.encoding)
                end = document.offset_at(change.range.end.line, change.range.end.character, self.encoding)
                self.documents.edit(document, Edit(start=min(start, end), end=max(start, end), text=change.text))
            else:
                self.documents.replace(document, change.text)

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> None:
        self.documents.close(params.text_document.uri)

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_OPEN)
    def lsp_notebook_document__did_open(self, params: types.DidOpenNotebookDocumentParams) -> None:
        for item in params.cell_text_documents:
            self._open(item)
        self.notebooks.open(params.notebook_document.uri, _cells(params.notebook_document.cells))

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_CHANGE)
    def lsp_notebook_document__did_change(self, params: types.DidChangeNotebookDocumentParams) -> None:
        cells = params.change.cells
        if cells is None:
            return
        if cells.structure is not None:
            for item in cells.structure.did_open or []:
                self._open(item)
            for closed in cells.structure.did_close or []:
                self.documents.close(closed.uri)
            array = cells.structure.array
            self.notebooks.change(
                params.notebook_document.uri, array.start, array.delete_count, _cells(array.cells or [])
            )
        for content in cells.text_content or []:
            self._change(content.document.uri, content.document.version, content.changes)

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_CLOSE)
    def lsp_notebook_document__did_close(self, params: types.DidCloseNotebookDocumentParams) -> None:
        self.notebooks.close(params.notebook_document.uri)
        for closed in params.cell_text_documents:
            self.documents.close(closed.uri)


def _cells(cells: Sequence[types.NotebookCell]) -> list[tuple[str, bool]]:
    return [(cell.document, cell.kind == types.NotebookCellKind.Code) for cell in cells]
