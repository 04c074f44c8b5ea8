"""Text of public benchmarks, known only by the hashes of its 13-token windows."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

WORD = re.compile(r"\w+|[^\w\s]")
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

    def contaminate(self, words: Sequence[bytes]) -> bool:
        """At least 10 windows of 13 tokens, or 3 making up 2 % of the file, occur in public benchmarks."""
        if not self._keys.size:
            return False
        keys = window_keys(words)
        if not keys.size:
            return False
        at = np.minimum(np.searchsorted(self._keys, keys), self._keys.size - 1)
        hits = int((self._keys[at] == keys).sum())
        return hits >= 10 or (hits >= 3 and hits >= 0.02 * keys.size)


def words_of(text: str) -> list[bytes]:
    """Words and single marks, in UTF-8; white space is no token."""
    return [word.encode("utf-8", "replace") for word in WORD.findall(text)]


def window_keys(words: Sequence[bytes]) -> np.ndarray:
    """blake2b of each run of 13 tokens, joined by one space.  # [W] uint64"""
    text = b" ".join(words)
    ends = list(itertools.accumulate(len(word) + 1 for word in words))
    starts = [0, *ends]
    digests = b"".join(
        # A slice of the joined text: joining each window anew costs four times as much.
        hashlib.blake2b(text[start : end - 1], digest_size=KEY_BYTES).digest()
        for start, end in zip(starts, ends[WINDOW - 1 :], strict=False)
    )
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)
