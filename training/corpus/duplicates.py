"""Exact and near duplicates: a hash of the text but for white space, and MinHash over runs of five tokens.

Near: an estimated Jaccard similarity of at least 0.8 (as Lee et al., arXiv 2107.06499, for training text).
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence

import numpy as np
from datasketch import MinHash, MinHashLSH

PERMUTATIONS = 128
SHINGLE = 5
THRESHOLD = 0.8
SEED = 1
SIGNATURE_TYPE = np.dtype("<u4")


def exact_digest(text: str) -> bytes:
    """Equal for texts that differ in white space only."""
    return hashlib.blake2b(" ".join(text.split()).encode("utf-8", "replace"), digest_size=16).digest()


def signature(words: Sequence[bytes]) -> bytes:
    """The MinHash of a text given as its words.  # PERMUTATIONS × uint32"""
    return np.asarray(_minhash(words).hashvalues).astype(SIGNATURE_TYPE).tobytes()


class Duplicates:
    """What has been seen so far, in the order of the corpus: the first of its like stays."""

    def __init__(self) -> None:
        self._digests: set[bytes] = set()
        self._near = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
        self._signatures: list[np.ndarray] = []

    def refusal(self, digest: bytes, signature: bytes) -> str | None:
        """The reason why a document stays out, or None, after which it is known."""
        if digest in self._digests:
            return "duplicate"
        self._digests.add(digest)
        values = np.frombuffer(signature, dtype=SIGNATURE_TYPE)
        minhash = MinHash(num_perm=PERMUTATIONS, seed=SEED, hashvalues=values, scheme="affine32")
        if any(np.mean(values == self._signatures[other]) >= THRESHOLD for other in self._near.query(minhash)):
            return "near duplicate"
        self._near.insert(len(self._signatures), minhash, check_duplication=False)
        self._signatures.append(values)
        return None


def _minhash(words: Sequence[bytes]) -> MinHash:
    minhash = MinHash(num_perm=PERMUTATIONS, seed=SEED, hashfunc=int, scheme="affine32")
    hashes = np.fromiter(map(zlib.crc32, words), dtype=np.uint64, count=len(words))
    # One multiplication a token in place of one hash a shingle.
    shingles = np.zeros(max(1, hashes.size - SHINGLE + 1), dtype=np.uint64)
    for place in range(min(SHINGLE, hashes.size)):
        shingles = shingles * np.uint64(0x9E3779B97F4A7C15) + hashes[place : place + shingles.size]
    minhash.update_batch((np.unique(shingles) >> np.uint64(32)).tolist())
    return minhash
