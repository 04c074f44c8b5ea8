"""Notebooks: a cell is completed as if the other code cells of its language stood around it."""

from __future__ import annotations

from dataclasses import dataclass

from .documents import Documents

_CHARACTERS = 10_000
"""Taken from the cells before, and from those after."""
_SEPARATOR = "\n\n"


@dataclass
class _Cell:
    uri: str
    is_code: bool


class Notebooks:
    """The open notebooks, as lists of cells. The text of a cell is a document of its own."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._cells: dict[str, list[_Cell]] = {}

    def open(self, uri: str, cells: list[tuple[str, bool]]) -> None:
        """Take the cells of a notebook: URI, and whether it is code."""
        self._cells[uri] = [_Cell(*cell) for cell in cells]

    def change(self, uri: str, start: int, delete_count: int, cells: list[tuple[str, bool]]) -> None:
        """Replace some cells. What lies outside of the notebook is left out."""
        if uri in self._cells:
            self._cells[uri][start : start + delete_count] = [_Cell(*cell) for cell in cells]

    def close(self, uri: str) -> None:
        self._cells.pop(uri, None)

    def around(self, cell_uri: str) -> tuple[str, str] | None:
        """The text of the code cells before and after a cell; None when it is no cell."""
        for cells in self._cells.values():
            index = next((index for index, cell in enumerate(cells) if cell.uri == cell_uri), None)
            if index is not None:
                before, after = self._texts(cells[:index], cell_uri), self._texts(cells[index + 1 :], cell_uri)
                head = "".join(text + _SEPARATOR for text in before)
                tail = "".join(_SEPARATOR + text for text in after)
                return head[-_CHARACTERS:], tail[:_CHARACTERS]
        return None

    def _texts(self, cells: list[_Cell], cell_uri: str) -> list[str]:
        this = self._documents.get(cell_uri)
        documents = [self._documents.get(cell.uri) for cell in cells if cell.is_code]
        return [document.text for document in documents if document and this and document.language == this.language]
