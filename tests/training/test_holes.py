from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from diffill.model.config import DEFAULT_CHECKPOINT
from diffill.model.request import DecodeRequest, DecodeResult, ModelInfo, Step, pack_ids, unpack_ids
from diffill.model.tokenizer import Tokenizer
from diffill.training.evaluation.holes import Hole, evaluate_holes, punch_holes

SOURCE = """\
# a comment is no hole
def area(width, height):
    return width * height


def name():
    return "area"
"""


class Oracle:
    """Knows some lines; `wrong` ones are answered with something else."""

    def __init__(self, tokenizer: Tokenizer, holes: list[Hole], wrong: set[str]) -> None:
        self.tokenizer, self.wrong = tokenizer, wrong
        self.answers = {hole.prefix: hole.missing for hole in holes}
        self.info = ModelInfo(
            name="fake", hash="0" * 12, adapter=None, device="cpu",
            vocabulary_size=tokenizer.vocabulary_size, block_size=4, parameters=0,
        )  # fmt: skip

    def decode(
        self,
        request: DecodeRequest,
        *,
        on_step: Callable[[Step], None] | None = None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> DecodeResult:
        assert request.stop_at_line_end
        prompt = self.tokenizer.decode(unpack_ids(request.prompt))
        if request.starts_with_space:
            prompt += " "
        text = next(missing for prefix, missing in self.answers.items() if prompt.endswith(prefix))
        answer = "pass" if text in self.wrong else text + "  \nmore"
        ids = self.tokenizer.encode(" " + answer if request.starts_with_space else answer)
        return DecodeResult(
            tokens=pack_ids(ids), finish="line", score=0.0, steps=1, forward_passes=2, cached_tokens=0,
            prefill_ms=1.0, denoise_ms=2.0,
        )  # fmt: skip


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "shape.py").write_text(SOURCE, "utf-8")
    (tmp_path / "notes.txt").write_text("no source\n", "utf-8")
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "other.js").write_text("let x = 1;\n", "utf-8")
    return tmp_path


def test_a_hole_and_its_surroundings_are_the_file(repository: Path) -> None:
    holes = punch_holes(repository, count=100, seed=0)
    assert sorted(hole.name for hole in holes) == ["shape.py:2", "shape.py:3", "shape.py:6", "shape.py:7"]
    for hole in holes:
        assert hole.prefix + hole.missing + hole.suffix == SOURCE


def test_the_same_seed_takes_the_same_lines(repository: Path) -> None:
    assert punch_holes(repository, count=2, seed=3) == punch_holes(repository, count=2, seed=3)
    drawn = {tuple(hole.name for hole in punch_holes(repository, count=2, seed=seed)) for seed in range(8)}
    assert len(drawn) > 1


def test_a_line_passes_when_it_is_equal(repository: Path) -> None:
    tokenizer = Tokenizer.load(DEFAULT_CHECKPOINT)
    holes = punch_holes(repository, count=4, seed=0)
    decoder = Oracle(tokenizer, holes, wrong={"def name():"})
    report = evaluate_holes(holes, decoder, tokenizer, mode="verify", seed=0)
    assert (report.n, report.passed, report.rate) == (4, 3, 0.75)
    assert report.milliseconds == 3.0 and report.tokens_per_forward > 0
    assert {case.task_id for case in report.cases if not case.passed} == {"shape.py:6"}


def test_a_missing_or_empty_repository_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^repo: .* is not a directory$"):
        punch_holes(tmp_path / "absent", count=1, seed=0)
    with pytest.raises(ValueError, match=r"^repo: .* has no source line"):
        punch_holes(tmp_path, count=1, seed=0)
