"""Duplicates and benchmark text, each at its threshold."""

from __future__ import annotations

import gzip
import hashlib
import random
from pathlib import Path

import pytest

from diffill.training.corpus.benchmarks import WINDOW, BenchmarkWindows, window_keys, words_of
from diffill.training.corpus.duplicates import Duplicates, exact_digest, signature
from tests.training.corpus.small_archives import module


def refusal(seen: Duplicates, text: str) -> str | None:
    return seen.refusal(exact_digest(text), signature(words_of(text)))


def test_duplicates() -> None:
    seen = Duplicates()
    text = module("alpha", 40)
    assert refusal(seen, text) is None
    assert refusal(seen, text.replace("\n\n\n", "\n\n")) == "duplicate"
    assert refusal(seen, text.replace("alpha_7", "renamed")) == "near duplicate"
    assert refusal(seen, module("beta", 40)) is None
    assert refusal(seen, text + module("gamma", 40)) is None, "half of it is new"


@pytest.mark.parametrize("text", ["", "x", "a b c d"])
def test_short_texts_have_a_signature(text: str) -> None:
    seen = Duplicates()
    assert refusal(seen, text) is None
    assert refusal(seen, text) == "duplicate"


def test_the_estimate_is_near_the_similarity() -> None:
    generator = random.Random(0)
    words = [f"word{generator.randrange(10_000)}" for _ in range(2000)]
    half = words[:1000] + [f"other{generator.randrange(10_000)}" for _ in range(1000)]
    first, second = (signature([word.encode() for word in text]) for text in (words, half))
    equal = sum(first[at : at + 4] == second[at : at + 4] for at in range(0, len(first), 4))
    assert abs(equal / (len(first) // 4) - 1 / 3) < 0.15  # 996 shingles of 2996 are shared


def windows(tmp_path: Path, text: str, count: int, start: int = 0) -> BenchmarkWindows:
    """As the benchmark's list: the first eight bytes of a hash of each run of 13 words."""
    words = words_of(text)
    keys = [
        hashlib.blake2b(b" ".join(words[at : at + WINDOW]), digest_size=8).digest()
        for at in range(start, start + count)
    ]
    path = tmp_path / "windows.gz"
    path.write_bytes(gzip.compress(b"".join(sorted(keys, reverse=True))))
    return BenchmarkWindows(path)


def test_window_keys() -> None:
    words = words_of("def f(x):\n    return x + 'é'  # twice\n" * 3)
    plain = [
        int.from_bytes(hashlib.blake2b(b" ".join(words[at : at + WINDOW]), digest_size=8).digest(), "big")
        for at in range(len(words) - WINDOW + 1)
    ]
    assert window_keys(words).tolist() == plain
    assert window_keys(words[: WINDOW - 1]).size == 0
    assert window_keys(words[:WINDOW]).tolist() == plain[:1]


@pytest.mark.parametrize(("common", "expected"), [(0, False), (2, False), (3, True), (10, True)])
def test_benchmark_text(tmp_path: Path, common: int, expected: bool) -> None:
    text = module("alpha", 4)  # 3 windows are more than 2 % of it
    assert windows(tmp_path, text, common).contaminate(words_of(text)) is expected


@pytest.mark.parametrize("start", [1, 2, 3])
def test_a_passage_is_met_wherever_it_begins(tmp_path: Path, start: int) -> None:
    text = module("alpha", 4)
    assert windows(tmp_path, text, 3, start).contaminate(words_of(text))


@pytest.mark.parametrize("text", ["a_b + c.d\x1c e", "x = 'é'\u2003+ 1", "", " \n"])
def test_words_are_the_same_in_ascii_and_beyond(text: str) -> None:
    assert words_of(text) == words_of(text + " é")[:-1]


def test_a_few_windows_of_a_long_file_are_chance(tmp_path: Path) -> None:
    text = module("alpha") + "".join(f"value_{n} = {n}\n" for n in range(1000))
    assert not windows(tmp_path, text, 9).contaminate(words_of(text))
    assert windows(tmp_path, text, 10).contaminate(words_of(text))


def test_no_benchmarks(tmp_path: Path) -> None:
    assert not BenchmarkWindows(None).contaminate(words_of(module("alpha")))
    (tmp_path / "windows.gz").write_bytes(b"nothing")
    for path in (tmp_path / "windows.gz", tmp_path / "missing.gz"):
        with pytest.raises(ValueError, match=r"benchmark_windows: cannot read .*\.gz"):
            BenchmarkWindows(path)
