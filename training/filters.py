"""Which source files may be trained on, and the reason for every refusal."""

from __future__ import annotations

import ast
import gzip
import hashlib
import re
import warnings
from pathlib import Path

import numpy as np

from .sources import SourceFile

# Kept out whole, as stand-ins for a team's private code, with their companions; see docs/training.md.
HELD_OUT = "pymeasure|amaranth|nmigen|migen|kopf|pint|pymodbus"
HELD_OUT_IMPORT = re.compile(rf"^\s*(?:from|import)\s+(?:{HELD_OUT})\b", re.MULTILINE)
VENDORED = re.compile(r"(?:^|/)(?:_?vendor(?:ed)?|extern(?:als)?|third_party|node_modules|dist|build|umd|min)(?:/|$)")
TESTS = re.compile(r"(?:^|/)(?:tests?|testing|__tests__|spec)(?:/|$)|(?:^|/)(?:test_[^/]*|conftest)\.py$")
GENERATED = re.compile(r"code generated|do not edit|auto-?generated|@generated", re.IGNORECASE)
SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b"
    r"|\bxox[abprs]-[0-9A-Za-z-]{10,}"
)
LICENCE_HEADER = re.compile(
    r"\A(?:#!.*\n)?(?:(?:#|//).*\n)*(?:#|//).*(?:copyright|licen[cs]e).*\n(?:(?:#|//).*\n)*", re.IGNORECASE
)
WORD = re.compile(r"\w+|[^\w\s]")
WINDOW = 13


class Filter:
    """Accepts a file or says why not. Remembers what it saw, so exact duplicates are refused too."""

    def __init__(self, benchmark_windows: Path | None) -> None:
        self._seen: set[bytes] = set()
        self._windows = np.zeros(0, dtype=np.uint64)
        if benchmark_windows is not None:
            self._windows = np.frombuffer(gzip.decompress(benchmark_windows.read_bytes()), dtype=">u8")
            self._windows = np.sort(self._windows.astype(np.uint64))

    def refusal(self, source: SourceFile) -> str | None:
        """The reason `source` stays out, or None."""
        path, text = str(source.path), source.text
        if VENDORED.search(path):
            return "vendored or built"
        if TESTS.search(path):
            return "tests"
        if not 200 <= len(text) <= 100_000:
            return "size"
        if ".min." in path or path.endswith(".d.ts") or GENERATED.search(text[:2000]):
            return "generated"
        lines = text.split("\n")
        if len(text) / len(lines) > 100 or max(map(len, lines)) > 1000:
            return "long lines"
        if sum(map(str.isalpha, text)) < 0.25 * len(text):
            return "few letters"
        if HELD_OUT_IMPORT.search(text):
            return "imports a held-out package"
        if SECRET.search(text):
            return "secret"
        digest = hashlib.blake2b(re.sub(r"\s+", " ", text).encode(), digest_size=16).digest()
        if digest in self._seen:
            return "duplicate"
        self._seen.add(digest)
        if source.language == "python" and not _parses(text):
            return "does not parse"
        if self._contaminated(text):
            return "benchmark text"
        return None

    def _contaminated(self, text: str) -> bool:
        """At least 10 windows of 13 tokens, or 3 making up 2 % of the file, occur in public benchmarks."""
        if not self._windows.size:
            return False
        words = WORD.findall(text)
        count = len(words) - WINDOW + 1
        if count <= 0:
            return False
        keys = np.fromiter(
            (
                int.from_bytes(hashlib.blake2b(" ".join(words[i : i + WINDOW]).encode(), digest_size=8).digest(), "big")
                for i in range(count)
            ),
            dtype=np.uint64,
            count=count,
        )
        at = np.minimum(np.searchsorted(self._windows, keys), self._windows.size - 1)
        hits = int((self._windows[at] == keys).sum())
        return hits >= 10 or (hits >= 3 and hits >= 0.02 * count)


def strip_licence_header(text: str) -> str:
    """Drop a leading comment block that states a licence; it repeats thousands of times and teaches nothing."""
    return LICENCE_HEADER.sub("", text, count=1).lstrip("\n")


def _parses(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other people's invalid escapes are not our news
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
