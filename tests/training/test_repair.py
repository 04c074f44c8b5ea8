from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from diffill.cli.evaluate import evaluate as evaluate_group
from diffill.model.edit_prompt import EditRegion
from diffill.model.request import DecodeRequest, DecodeResult, ModelInfo, Step, pack_ids, unpack_ids
from diffill.training.evaluation.repair import Repair, changed_lines, evaluate_repairs, load_repairs
from tests.command_line import run_json
from tests.tiny import tiny_checkpoint, tiny_tokenizer

FUNCTION = {
    "task_id": "Python/7",
    "declaration": "def area(width, height):\n",
    "buggy_solution": "    size = width + height\n    return size\n",
    "canonical_solution": "    size = width * height\n    return size\n",
    "test": "def check(candidate):\n    assert candidate(3, 4) == 12\ncheck(area)\n",
}
SCRIPT = {
    "task_id": "JavaScript/7",
    "declaration": "const area = (width, height) => {\n",
    "buggy_solution": "  return width + height\n}\n",
    "canonical_solution": "  return width * height\n}\n",
    "test": "console.assert(area(3, 4) === 12)\n",
}
PAIR = {
    "prefix": "import math\n\n",
    "before": "def radius(area):\n    return math.sqrt(are / math.pi)\n",
    "after": "def radius(area):\n    return math.sqrt(area / math.pi)\n",
    "suffix": "",
    "instruction": "F821 Undefined name `are`",
    "language": "python",
    "kind": "fault",
    "source": "invented",
}
UNCLOSED = {
    **PAIR,
    "prefix": "",
    "before": "export const radius = (area) => {\n  return Math.sqrt(area / Math.PI;\n}\n",
    "after": "export const radius = (area) => {\n  return Math.sqrt(area / Math.PI);\n}\n",
    "instruction": "SyntaxError: ')' expected",
    "language": "typescript",
}
CORRECT = {**PAIR, "before": PAIR["after"], "kind": "no-op", "instruction": ""}


class Editor:
    """Answers every region as `revise` says."""

    def __init__(self, revise: Callable[[str], str]) -> None:
        self.tokenizer, self.revise = tiny_tokenizer(), revise
        self.requests: list[DecodeRequest] = []
        self.info = ModelInfo(
            name="fake", hash="0" * 12, adapter=None, device="cpu",
            vocabulary_size=self.tokenizer.vocabulary_size, block_size=4, parameters=0,
        )  # fmt: skip

    def decode(
        self,
        request: DecodeRequest,
        *,
        on_step: Callable[[Step], None] | None = None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> DecodeResult:
        self.requests.append(request)
        text = self.revise(self.tokenizer.decode(unpack_ids(request.draft)))
        return DecodeResult(
            tokens=pack_ids(self.tokenizer.encode(text)), finish="eom", score=0.0, steps=1, forward_passes=2,
            cached_tokens=0, prefill_ms=1.0, denoise_ms=2.0,
        )  # fmt: skip


def write(path: Path, *tasks: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(task) + "\n" for task in tasks), "utf-8")
    return path


def evaluate(tasks: Path, revise: Callable[[str], str]) -> Any:
    editor = Editor(revise)
    return evaluate_repairs(load_repairs(tasks), editor, editor.tokenizer, mode="verify", seed=0)


def test_a_function_is_asked_in_three_ways(tmp_path: Path) -> None:
    located, unlocated, correct = load_repairs(write(tmp_path / "tasks.jsonl", {**FUNCTION, "extra": 1}))
    assert (located.part, located.region.original) == ("located", "    size = width + height\n")
    assert located.expected == "    size = width * height\n"
    assert (unlocated.part, unlocated.region.original) == ("unlocated", FUNCTION["buggy_solution"])
    assert (correct.part, correct.region.original) == ("no-op", FUNCTION["canonical_solution"])
    for repair in (located, unlocated):
        assert repair.document(repair.region.original) == FUNCTION["declaration"] + FUNCTION["buggy_solution"]
        assert repair.document(repair.expected) == FUNCTION["declaration"] + FUNCTION["canonical_solution"]


@pytest.mark.parametrize(
    ("before", "after", "original", "expected"),
    [
        ("a\nb\nc\n", "a\nX\nc\n", "b\n", "X\n"),
        ("a\nb\nc\n", "a\nb\nnew\nc\n", "b\n", "b\nnew\n"),  # an added line is a change of the one before it
        ("a\nb\n", "new\na\nb\n", "a\n", "new\na\n"),
        ("a\nb\nc\n", "a\nc\n", "b\n", ""),
        ("a\na\n", "a\na\na\n", "a\n", "a\na\n"),
        ("a\nb", "a\nb\nc", "b", "b\nc"),
        ("a\nb\n", "x\ny\n", "a\nb\n", "x\ny\n"),
    ],
)
def test_the_lines_that_differ(before: str, after: str, original: str, expected: str) -> None:
    region, becomes = changed_lines(EditRegion(prefix="P\n", original=before, suffix="S\n"), after)
    assert (region.original, becomes) == (original, expected)
    assert region.prefix + region.original + region.suffix == "P\n" + before + "S\n"
    assert region.prefix + becomes + region.suffix == "P\n" + after + "S\n"


@pytest.mark.parametrize("task", [FUNCTION, SCRIPT], ids=["python", "javascript"])
def test_tests_decide(tmp_path: Path, task: dict[str, str]) -> None:
    tasks = write(tmp_path / "tasks.jsonl", task)
    right = evaluate(tasks, lambda text: text.replace("width + height", "height * width"))
    assert (right.n, right.passed, right.exact_match) == (1, 1, 0.0)  # another text, and right
    assert {name: part.passed for name, part in right.parts.items()} == {"located": 1, "unlocated": 1, "no-op": 1}
    idle = evaluate(tasks, lambda text: text)
    assert {name: part.passed for name, part in idle.parts.items()} == {"located": 0, "unlocated": 0, "no-op": 1}
    eager = evaluate(tasks, lambda text: text + "\n")
    assert eager.parts["no-op"].passed == 0


def test_a_diagnostic_is_gone_and_no_new_one_came(tmp_path: Path) -> None:
    tasks = write(tmp_path / "tasks.jsonl", PAIR)
    exact = evaluate(tasks, lambda text: text.replace("are ", "area "))
    assert (exact.rate, exact.exact_match, exact.cleared) == (1.0, 1.0, 1.0)
    other = evaluate(tasks, lambda text: text.replace("are ", "abs(area) "))
    assert (other.rate, other.exact_match, other.cleared) == (1.0, 0.0, 1.0)
    for harm in ("arena ", "area + other ", "area ) ", "are "):
        report = evaluate(tasks, lambda text, harm=harm: text.replace("are ", harm))  # type: ignore[misc]
        assert (report.rate, report.cleared) == (0.0, 0.0), harm
    deleted = evaluate(tasks, lambda text: "")
    assert (deleted.rate, deleted.cleared) == (0.0, 0.0), "what is gone has no fault, and was not repaired"


def test_a_parser_judges_where_there_is_no_linter(tmp_path: Path) -> None:
    tasks = write(tmp_path / "tasks.jsonl", UNCLOSED)
    other = evaluate(tasks, lambda text: text.replace("PI;", "PI) + 0;"))
    assert (other.rate, other.exact_match, other.cleared) == (1.0, 0.0, 1.0)
    for harm in ("PI;", "PI));"):
        report = evaluate(tasks, lambda text, harm=harm: text.replace("PI;", harm))  # type: ignore[misc]
        assert (report.rate, report.cleared) == (0.0, 0.0), harm
    go = write(tmp_path / "go.jsonl", {**UNCLOSED, "language": "go"})
    report = evaluate(go, lambda text: text.replace("PI;", "PI) + 0;"))
    assert (report.rate, report.cleared) == (0.0, None), "nothing to ask: only the right text counts"


def test_correct_code_is_only_asked_to_stay(tmp_path: Path) -> None:
    report = evaluate(write(tmp_path / "tasks.jsonl", CORRECT), lambda text: text)
    assert (report.n, report.passed, list(report.parts), report.cleared) == (1, 1, ["no-op"], None)


def test_the_request(tmp_path: Path) -> None:
    repair = load_repairs(write(tmp_path / "tasks.jsonl", PAIR))[0]
    editor = Editor(lambda text: text)
    evaluate_repairs([repair], editor, editor.tokenizer, mode="diffusion", seed=0)
    (request,) = editor.requests
    prompt = repair.region.prompt(PAIR["instruction"], editor.tokenizer)
    assert (unpack_ids(request.prompt), unpack_ids(request.draft)) == (prompt.ids, prompt.draft)
    assert (request.mode, request.priority) == ("diffusion", "repair")
    assert request.max_tokens > len(prompt.draft)


def test_a_region_that_is_too_long_counts_as_left_alone() -> None:
    region = EditRegion(prefix="", original="x = 1\n" * 2000, suffix="")
    repair = Repair(
        task_id="long", part="unlocated", region=region, expected="y\n", instruction="", language="python", test=None
    )
    editor = Editor(lambda text: text)
    report = evaluate_repairs([repair], editor, editor.tokenizer, mode="verify", seed=0)
    assert (report.n, report.passed, editor.requests) == (1, 0, [])


def test_the_command_on_a_real_network(tmp_path: Path) -> None:
    tasks = str(write(tmp_path / "tasks.jsonl", FUNCTION, FUNCTION))
    checkpoint = str(tiny_checkpoint(tmp_path / "tiny"))
    common = ("eval", "repair", "--tasks", tasks, "--checkpoint", checkpoint, "--limit", "1")
    report = run_json(*common, "--mode", "ar")
    assert (report["suite"], report["mode"], report["n"], report["floor"]) == ("repair", "ar", 1, 0.0)
    assert set(report["parts"]) == {"located", "unlocated", "no-op"}
    assert [case["task_id"] for case in report["cases"]] == ["Python/7 located"]
    words = CliRunner().invoke(evaluate_group, [*common[1:], "--part", "no-op"])
    assert "no-op      passed 0.0% (0 of 1)" in words.stdout


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line 1: "):
        load_repairs(write(tmp_path / "neither.jsonl", {"task_id": "x"}))
    mixed = write(tmp_path / "mixed.jsonl", PAIR, {key: PAIR[key] for key in ("prefix", "before", "suffix")})
    with pytest.raises(ValueError, match="line 2: "):
        load_repairs(mixed)
    correct = write(tmp_path / "correct.jsonl", CORRECT)
    refused = CliRunner().invoke(evaluate_group, ["repair", "--tasks", str(correct), "--part", "located"])
    assert (refused.exit_code, "part: " in refused.stderr) == (2, True)
