"""Task files: one JSON object a line, `.jsonl` or `.jsonl.gz`; a line that is not a task is named."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

import msgspec

MAX_LINE_BYTES = 4 << 20
Task = TypeVar("Task", bound=msgspec.Struct)


def read_tasks(path: Path, kind: type[Task], *, limit: int | None = None) -> list[Task]:
    """The first `limit` tasks (all of them when None), in the order of the file, which may be gzip-compressed.

    Raises:
        ValueError: the file cannot be read or holds no task, or a line is not one; the line and the field are named.
            Lines behind the limit are checked too.
    """
    try:
        with _open(path) as stream:
            parsed = _parse(stream, path, kind)
            tasks = list(islice(parsed, limit))
            for _ in parsed:
                pass
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"tasks: {path} is not a whole gzip file: {error}") from None
    except OSError as error:
        raise ValueError(f"tasks: cannot read {path}: {error.strerror or error}") from None
    if not tasks:
        raise ValueError(f"tasks: {path} holds no case")
    return tasks


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _parse(stream: BinaryIO, path: Path, kind: type[Task]) -> Iterator[Task]:
    decoder = msgspec.json.Decoder(kind)
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise ValueError(f"tasks: {path} line {number} is longer than {MAX_LINE_BYTES} bytes")
        if not line.strip():
            continue
        try:
            yield decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"tasks: {path} line {number}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """msgspec's message with the field in front, which it puts last as `at `$.field``."""
    if isinstance(error, msgspec.ValidationError):
        return re.sub(r"^(.*) - at `\$\.(\w+)`$", r"field `\2`: \1", str(error))
    return f"not JSON ({error})"
