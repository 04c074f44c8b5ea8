"""What is rehearsed: the standard library's packages, in the share that was asked for, and nothing that measures."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffill.model.config import DEFAULT_CHECKPOINT
from diffill.model.tokenizer import Tokenizer
from diffill.training.corpus.benchmarks import BenchmarkWindows
from diffill.training.corpus.documents import Document
from diffill.training.examples import ExampleConfig
from diffill.training.finetune import standard_library
from diffill.training.finetune.cases import public_measures
from diffill.training.finetune.plan import FinetuneConfig, plan
from diffill.training.finetune.rehearsal import Rehearsal, rehearsal
from tests.finetuning import team_repository

NEAR = 150
"""Characters around a line that would give it away."""


def other(word: str) -> str:
    """A module that shares no passage with another's."""
    return "\n".join(
        f"def {word}_{n}({word}, over_{n}):\n    {word}.{n * 'a'}b = over_{n} - {n}\n    return {word}\n"
        for n in range(9)
    )


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small one in the place of Python's own."""
    path = tmp_path / "library"
    files = {
        "tokenize.py": other("alpha"),
        "json/decoder.py": other("beta"),
        "lib2to3/tokenize.py": other("alpha").replace("over_3 - 3", "over_3 + 3"),
        "email/charset.py": "# SPDX-License-Identifier: GPL-3.0-only\n" + other("gamma"),
        "unittest/test/test_case.py": other("delta"),
        "encodings/latin_1.py": other("epsilon"),
        "site-packages/json/decoder.py": other("zeta"),
        "notlisted/a.py": other("eta"),
        "html/entities.py": other("theta"),
    }
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, "utf-8")
    caches = (standard_library.measured_modules, standard_library.measured_windows)
    monkeypatch.setattr(standard_library, "_directory", lambda: path)
    for cached in caches:
        cached.cache_clear()
    yield path
    for cached in caches:
        cached.cache_clear()


def paths(found: Rehearsal) -> set[str]:
    return {document.path for document in found.documents}


def test_packages_that_nobody_measures_or_installed(library: Path) -> None:
    assert paths(rehearsal(math.inf, kept_out=[])) == {"json/decoder.py", "html/entities.py"}
    team = BenchmarkWindows.of_texts([other("theta")])
    assert paths(rehearsal(math.inf, kept_out=[team])) == {"json/decoder.py"}, "the team's own, or what measures it"
    assert len(paths(rehearsal(1, kept_out=[]))) == 1, "no more than is asked for"
    assert not paths(rehearsal(0, kept_out=[]))


def test_no_case_of_the_gate_is_rehearsed() -> None:
    """On the library of the running Python, whole: neither a measured file nor a passage around a measured line."""
    found = rehearsal(math.inf, kept_out=[])
    assert found.characters > 1_000_000
    assert all("/" in path for path in paths(found))
    assert not paths(found) & standard_library.measured_modules().keys()
    texts = "\0".join(document.text for document in found.documents)
    (measure,) = public_measures(None, 300, 0)
    for hole in measure.cases:
        passage = hole.prefix[-NEAR:] + hole.missing + hole.suffix[:NEAR]
        assert passage not in texts, hole.name
        assert passage in standard_library.measured_modules()[hole.name.partition(":")[0]]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.load(DEFAULT_CHECKPOINT)


@settings(max_examples=20, deadline=None)
@given(count=st.integers(0, 9), length=st.sampled_from([256, 512]), words=st.lists(st.sampled_from("abc"), unique=True))
def test_as_many_rows_as_were_asked_for(tokenizer: Tokenizer, count: int, length: int, words: list[str]) -> None:
    """Whatever there is to take them from."""
    documents = [
        Document(text=other(word), language="python", path=word, package="library", licence="PSF-2.0") for word in words
    ]
    config = ExampleConfig(max_prefix=64, max_suffix=32, max_middle=32)
    rows = Rehearsal(documents=documents).rows(count, length, tokenizer, config, random.Random(0))
    assert rows.tokens.shape == (count if words else 0, length)
    again = Rehearsal(documents=documents).rows(count, length, tokenizer, config, random.Random(0))
    assert (rows.tokens == again.tokens).all(), "a run that goes on has the same"
    assert not len(rows) or (rows.document >= 0).any(axis=1).all(), "no row is empty"


def test_the_share_of_the_rows(library: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    team = team_repository(tmp_path / "team").directory

    def rows(share: float, team_rows: int, epochs: int) -> list[int]:
        found = plan(FinetuneConfig(repository=team, base=DEFAULT_CHECKPOINT, rehearsal_share=share))
        return [len(found.rehearsed_rows(tokenizer, epoch, team_rows)) for epoch in range(epochs)]

    assert rows(0.0, 8, 1) == [0]
    assert rows(0.5, 8, 1) == [8]
    assert set(rows(0.2, 2, 12)) == {0, 1}, "half a row, by chance"
    with pytest.raises(ValueError, match=r"rehearsal_share: 1.0 is not in \[0, 1\)"):
        rows(1.0, 8, 1)


def test_a_run_on_other_rehearsed_text_is_another_run(library: Path, tmp_path: Path) -> None:
    config = FinetuneConfig(repository=team_repository(tmp_path / "team").directory, base=DEFAULT_CHECKPOINT)
    before = plan(config)
    path, *_ = paths(before.rehearsal)
    (library / path).write_text(other("iota"), "utf-8")
    assert plan(config).fingerprint != before.fingerprint
