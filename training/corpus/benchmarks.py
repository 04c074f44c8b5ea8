"""Text of public benchmarks, known only by the hashes of its 13-token windows."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

WORD = re.compile(r"\w+|[^\w\s]")
ASCII_WORD = re.compile(rb"\w+|[^\w\s\x1c-\x1f]")
"""The same words, of a text in ASCII: in half of the time."""
WINDOW = 13
KEY_BYTES = 8


class BenchmarkWindows:
    """The set of hashes, sorted. Without a file it is empty and finds nothing."""

    def __init__(self, path: Path | None) -> None:
        """Raises ValueError when the file is missing or is not a gzip of 8-byte hashes."""
        self._keys = np.zeros(0, dtype=np.uint64)
        if path is not None:
            try:
                data = gzip.decompress(path.read_bytes())
                self._keys = np.sort(np.frombuffer(data, dtype=">u8").astype(np.uint64))
            except (OSError, EOFError, ValueError) as error:
                raise ValueError(f"benchmark_windows: cannot read {path}: {error}") from None

    @classmethod
    def of_texts(cls, texts: Iterable[str]) -> BenchmarkWindows:
        """The windows of texts that are at hand."""
        made = cls(None)
        keys = [window_keys(words) for words in map(words_of, texts) if len(words) >= WINDOW]
        made._keys = np.unique(np.concatenate([made._keys, *keys]))
        return made

    def contaminate(self, words: Sequence[bytes]) -> bool:
        """At least 10 windows of 13 tokens, or 3 making up 2 % of the file, occur in public benchmarks."""
        # Every third window first: a shared passage of 15 tokens or more has three in a row, so one of them is met.
        if not self._hits(words, stride=3):
            return False
        hits, windows = self._hits(words), len(words) - WINDOW + 1
        return hits >= 10 or (hits >= 3 and hits >= 0.02 * windows)

    def _hits(self, words: Sequence[bytes], *, stride: int = 1) -> int:
        if not self._keys.size or len(words) < WINDOW:
            return 0
        keys = window_keys(words, stride=stride)
        at = np.minimum(np.searchsorted(self._keys, keys), self._keys.size - 1)
        return int((self._keys[at] == keys).sum())


def words_of(text: str) -> list[bytes]:
    """Words and single marks, in UTF-8; white space is no token."""
    if text.isascii():
        return ASCII_WORD.findall(text.encode())
    return [word.encode("utf-8", "replace") for word in WORD.findall(text)]


def window_keys(words: Sequence[bytes], *, stride: int = 1) -> np.ndarray:
    """blake2b of every `stride`-th run of 13 tokens, joined by one space.  # [W] uint64"""
    text = b" ".join(words)
    ends = np.cumsum(np.fromiter(map(len, words), dtype=np.int64, count=len(words)) + 1)
    starts = np.concatenate([np.zeros(1, dtype=np.int64), ends])
    digests = b"".join(
        # A slice of the joined text: joining each window anew costs four times as much.
        hashlib.blake2b(text[start : end - 1], digest_size=KEY_BYTES).digest()
        for start, end in zip(starts[::stride].tolist(), ends[WINDOW - 1 :: stride].tolist(), strict=False)
    )
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)
