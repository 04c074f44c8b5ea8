"""A place in a file as the command line writes it: FILE:LINE:COL or FILE[:LINE], counted from 1, in characters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from diffill.lsp_server.documents import Document

MAX_FILE_BYTES = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Location:
    file: Path
    line: int
    column: int

    def open(self) -> tuple[Document, int]:
        """The file as a document, and the offset of this place in it.

        Raises:
            ValueError: the file cannot be read as source text, or has no such line or column.
        """
        from diffill.lsp_server.documents import Document
        from diffill.model.code.languages import language_of

        document = Document(
            uri=self.file.absolute().as_uri(), language=language_of(self.file), version=0, text=read_source(self.file)
        )
        try:
            return document, document.offset_at_column(self.line, self.column)
        except ValueError as error:
            raise ValueError(f"{self.file}: {error}") from None


class LocationType(click.ParamType[Location]):
    """Parses `FILE:LINE:COL`."""

    name = "FILE:LINE:COL"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Location:
        if isinstance(value, Location):
            return value
        file, line, column = [*str(value).rsplit(":", 2), "", ""][:3]
        if not file or not (line.isascii() and line.isdigit()) or not (column.isascii() and column.isdigit()):
            self.fail(f"{value!r} is not a file, a line and a column, such as src/app.py:12:5.", param, ctx)
        return Location(file=Path(file), line=int(line), column=int(column))


@dataclass(frozen=True, kw_only=True)
class FileLine:
    """A file, and one of its lines if one is named."""

    file: Path
    line: int | None

    def open(self) -> Document:
        """The file as a document.

        Raises:
            ValueError: the file cannot be read as source text, or has no such line.
        """
        return Location(file=self.file, line=1 if self.line is None else self.line, column=1).open()[0]


class FileLineType(click.ParamType[FileLine]):
    """Parses `FILE` and `FILE:LINE`. A file whose name ends like that is a file."""

    name = "FILE[:LINE]"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> FileLine:
        if isinstance(value, FileLine):
            return value
        file, _, line = str(value).rpartition(":")
        if file and line.isascii() and line.isdigit() and not Path(str(value)).exists():
            return FileLine(file=Path(file), line=int(line))
        return FileLine(file=Path(str(value)), line=None)


def read_source(file: Path) -> str:
    """The text of a source file; a byte order mark is not part of it, as in editors.

    Raises:
        ValueError: it is missing, unreadable, too large, binary or not UTF-8.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"{file}: cannot be read: {reason}") from None
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"{file}: is larger than {MAX_FILE_BYTES} bytes")
    if b"\0" in data:
        raise ValueError(f"{file}: is a binary file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: is not UTF-8 (byte {error.start})") from None
