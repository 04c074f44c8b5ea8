from __future__ import annotations

from pathlib import Path

import click
import pytest

from diffill.cli.location import MAX_FILE_BYTES, Location, LocationType, read_source


def test_parsed_from_the_right() -> None:
    location = LocationType().convert("C:/a b/x.py:12:5", None, None)
    assert location == Location(file=Path("C:/a b/x.py"), line=12, column=5)


@pytest.mark.parametrize(
    "text", ["", "a.py", "a.py:1", ":1:1", "a.py:1:", "a.py:x:1", "a.py:1:-1", "a.py:1:1.5", "a:1:²"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        LocationType().convert(text, None, None)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"x = '\xff'\n", "not UTF-8"),
        (b"\x7fELF\x00\x00", "binary"),
        (b"#" * (MAX_FILE_BYTES + 1), "larger"),
    ],
)
def test_what_is_not_source_text(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "source.py"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=reason):
        read_source(file)


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone\.py: cannot be read"):
        read_source(tmp_path / "gone.py")
    with pytest.raises(ValueError, match="cannot be read"):
        read_source(tmp_path)


def test_byte_order_mark_takes_no_column(tmp_path: Path) -> None:
    file = tmp_path / "source.py"
    file.write_bytes(b"\xef\xbb\xbfab\r\nc\xc3\xa9d\r\n")
    document, offset = Location(file=file, line=2, column=3).open()
    assert document.language == "python"
    assert (document.text[:offset], document.text[offset:]) == ("ab\r\ncé", "d\r\n")


@pytest.mark.parametrize(("line", "column"), [(0, 1), (1, 0), (4, 1), (1, 4), (3, 2)])
def test_outside_the_file(tmp_path: Path, line: int, column: int) -> None:
    file = tmp_path / "source.py"
    file.write_bytes(b"ab\nc\n")
    with pytest.raises(ValueError, match=r"source\.py: "):
        Location(file=file, line=line, column=column).open()
