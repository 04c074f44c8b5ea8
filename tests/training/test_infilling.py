from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from diffill.cli import evaluate
from diffill.cli.main import main
from diffill.model.config import DEFAULT_CHECKPOINT
from diffill.model.request import DecodeRequest, DecodeResult, ModelInfo, Step, pack_ids, unpack_ids
from diffill.model.tokenizer import MIDDLE, PREFIX, Tokenizer
from diffill.training.evaluation.infilling import InfillingCase, evaluate_infilling, load_cases
from diffill.training.evaluation.sandbox import Limits

# Ends by processor time, which does not depend on how busy the machine is.
QUICK = Limits(wall_seconds=60.0, cpu_seconds=1)


def case(name: str, middle: str, test: str) -> dict[str, str]:
    return {
        "task_id": f"invented/{name}",
        "entry_point": name,
        "prompt": f"def {name}(n):\n",
        "suffix": "    return n\n",
        "canonical_solution": middle,
        "test": f"def check(candidate):\n    {test}\n",
    }


CASES = [
    case("double", "    n = n * 2\n", "assert candidate(4) == 8"),
    case("square", "    n = n ** 2\n", "assert candidate(3) == 9"),
    case("endless", "    n = abs(n)\n", "assert candidate(-1) == -1"),
]
ANSWERS = {"double": "    n = n * 2", "square": "    n = n + 2\n", "endless": "    while True: pass\n"}


class FakeDecoder:
    """Answers by the name of the function in the prompt; every answer takes two forward passes."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.requests: list[DecodeRequest] = []
        self.info = ModelInfo(
            name="fake",
            hash="0" * 12,
            adapter=None,
            device="cpu",
            vocabulary_size=tokenizer.vocabulary_size,
            block_size=4,
            parameters=0,
        )

    def decode(
        self,
        request: DecodeRequest,
        *,
        on_step: Callable[[Step], None] | None = None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> DecodeResult:
        self.requests.append(request)
        prefix = self.tokenizer.decode(unpack_ids(request.prompt))
        text = next(answer for name, answer in ANSWERS.items() if f"def {name}(" in prefix)
        return DecodeResult(
            tokens=pack_ids(self.tokenizer.encode(text + "\n" if not text.endswith("\n") else text)),
            finish="eom",
            score=-0.5,
            steps=2,
            forward_passes=2,
            cached_tokens=0,
            prefill_ms=1.0,
            denoise_ms=1.0,
        )


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.load(DEFAULT_CHECKPOINT)


@pytest.fixture
def decoder(tokenizer: Tokenizer) -> FakeDecoder:
    return FakeDecoder(tokenizer)


def write(path: Path, lines: list[str]) -> Path:
    data = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["tasks.jsonl", "tasks.jsonl.gz"])
def test_cases_come_in_the_order_of_the_file(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, [json.dumps({**fields, "extra": 1}) for fields in CASES])
    assert [case.entry_point for case in load_cases(path)] == ["double", "square", "endless"]
    assert [case.entry_point for case in load_cases(path, limit=2)] == ["double", "square"]


def test_a_pass_a_failure_and_an_endless_loop(decoder: FakeDecoder, tokenizer: Tokenizer) -> None:
    seen = []
    report = evaluate_infilling(
        [InfillingCase(**fields) for fields in CASES],
        decoder,
        tokenizer,
        mode="diffusion",
        max_tokens=32,
        seed=0,
        limits=QUICK,
        on_case=seen.append,
    )
    assert [result.passed for result in report.cases] == [True, False, False]
    assert [judgement.task_id for judgement in seen] == [result.task_id for result in report.cases]
    assert [result.text.rstrip() for result in report.cases] == [answer.rstrip() for answer in ANSWERS.values()]
    assert (report.n, report.passed, report.rate) == (3, 1, 1 / 3)
    assert report.exact_match == 1 / 3
    # Only the third program passes its test with nothing in the hole.
    assert report.floor == 1 / 3
    low, high = report.ci95
    assert 0.0 <= low < report.rate < high <= 1.0
    tokens = sum(len(tokenizer.encode(answer.rstrip() + "\n")) for answer in ANSWERS.values())
    assert report.tokens_per_forward == tokens / 6
    for request in decoder.requests:
        ids = unpack_ids(request.prompt)
        assert ids[-1] == MIDDLE
        assert PREFIX in ids
        assert (request.mode, request.max_tokens, request.stop_at_line_end) == ("diffusion", 32, False)


def test_the_floor_knows_pass_in_an_empty_block(decoder: FakeDecoder, tokenizer: Tokenizer) -> None:
    fields = {**CASES[0], "prompt": "def double(n):\n    if n < 0:\n", "test": "def check(candidate): candidate(1)"}
    report = evaluate_infilling(
        [InfillingCase(**fields)], decoder, tokenizer, mode="ar", max_tokens=32, seed=0, limits=QUICK
    )
    assert report.floor == 1.0


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["eval", "infilling", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_command(
    tmp_path: Path, decoder: FakeDecoder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evaluate, "load_decoder", lambda checkpoint, device, adapter: decoder)
    tasks = write(tmp_path / "tasks.jsonl", [json.dumps(fields) for fields in CASES])
    status, out, _ = command(capsys, "--tasks", str(tasks), "--limit", "2", "--mode", "ar", "--json")
    assert status == 0
    report: dict[str, Any] = json.loads(out)
    assert set(report) == {
        *("suite", "mode", "n", "passed", "rate", "ci95", "exact_match", "tokens_per_forward", "floor", "cases"),
        *("model", "device", "milliseconds", "cleared", "parts"),
    }
    assert (report["suite"], report["mode"], report["n"], report["passed"]) == ("infilling", "ar", 2, 1)
    assert report["cases"][0] == {"task_id": "invented/double", "passed": True, "text": "    n = n * 2\n"}
    status, out, _ = command(capsys, "--tasks", str(tasks), "--limit", "2")
    assert status == 0
    assert "50.0% (1 of 2)" in out


GOOD = json.dumps(CASES[0])


@pytest.mark.parametrize(
    ("name", "lines", "reason"),
    [
        ("tasks.jsonl", [GOOD, "{'task_id'"], "line 2: not JSON"),
        ("tasks.jsonl", [GOOD, "", json.dumps({**CASES[1], "test": 3})], "line 3: field `test`: "),
        ("tasks.jsonl", [json.dumps({k: v for k, v in CASES[0].items() if k != "suffix"})], "line 1: .*`suffix`"),
        ("tasks.jsonl", ["[]"], "line 1: "),
        ("tasks.jsonl", ['{"task_id": "\\ud800"}'], "line 1: "),
        ("tasks.jsonl", ["", " "], "holds no case"),
        ("tasks.jsonl", ['"' + "x" * (4 << 20) + '"'], "line 1 is longer"),
    ],
)
def test_bad_lines_are_named(
    tmp_path: Path, name: str, lines: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = write(tmp_path / name, lines)
    with pytest.raises(ValueError, match=reason):
        load_cases(tasks)
    status, out, err = command(capsys, "--tasks", str(tasks))
    assert (status, out) == (2, "")
    assert err.startswith("diffill: --tasks: ")
    assert err.count("\n") == 1


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot read"):
        load_cases(tmp_path / "gone.jsonl")
    with pytest.raises(ValueError, match="cannot read"):
        load_cases(tmp_path)
    not_gzip = tmp_path / "tasks.jsonl.gz"
    not_gzip.write_text(GOOD, "utf-8")
    with pytest.raises(ValueError, match="gzip"):
        load_cases(not_gzip)
    not_gzip.write_bytes(gzip.compress((GOOD + "\n").encode() * 50)[:-20])
    with pytest.raises(ValueError, match="gzip"):
        load_cases(not_gzip)


def test_a_checkpoint_that_is_not_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tasks = write(tmp_path / "tasks.jsonl", [GOOD])
    status, out, err = command(capsys, "--tasks", str(tasks), "--checkpoint", str(tmp_path))
    assert (status, out) == (2, "")
    assert err.startswith("diffill: --checkpoint: ")
