"""Files of the workspace that are not open and hold a word, read when somebody asks for a change to all of them."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from diffill.model.code.languages import language_of

from .documents import Document
from .ignored import IgnoreRules

MAX_FILES = 5_000
MAX_FILE_BYTES = 200_000
MAX_FOUND = 20
SECONDS = 1.0
"""After so long no further folder is looked at."""


def files_with(word: str, language: str, rules: IgnoreRules, left_out: Collection[Path]) -> list[Document]:
    """Documents, as they are on disk, of the files below the rules' root that hold `word`. To be called on a thread.

    What the rules ignore is not read, nor what is in `left_out`: the files that are open.
    """
    found = []
    for path in _files(rules):
        if path in left_out or language_of(path) != language or not rules.may_show(path):
            continue
        try:
            data = path.read_bytes() if path.stat().st_size <= MAX_FILE_BYTES else b""
            text = data.decode("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if word in text:
            found.append(Document(uri=path.as_uri(), language=language, version=0, text=text))
            if len(found) == MAX_FOUND:
                break
    return found


def _files(rules: IgnoreRules) -> Iterator[Path]:
    deadline = time.monotonic() + SECONDS
    seen = 0
    for directory, names, files in os.walk(rules.root):
        names[:] = sorted(
            name for name in names if not name.startswith(".") and rules.may_show(Path(directory, name, "any"))
        )
        for name in sorted(files):
            seen += 1
            yield Path(directory, name)
        if seen > MAX_FILES or time.monotonic() > deadline:
            return
