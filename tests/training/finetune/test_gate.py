"""What judges an adapter: cases that are news to it, and a verdict that later commits alone can make better."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from diffill.model.config import DEFAULT_CHECKPOINT
from diffill.model.request import ModelInfo
from diffill.training.evaluation.comparison import SPEED
from diffill.training.evaluation.gate import Gate, GateConfig, GateReport, Measured
from diffill.training.evaluation.held_out import RowLoss
from diffill.training.evaluation.judgement import Judgement
from diffill.training.evaluation.measures import TaskSet
from diffill.training.finetune.cases import STANDARD_LIBRARY, later_measures, public_measures
from diffill.training.finetune.gate import LATER, MODE, PUBLIC, grouped_samples, result_of, verdict_of
from diffill.training.finetune.plan import FinetuneConfig, plan
from tests.training.git_repository import BODIES, WorkTree, module

LATER_DAY = datetime.date(2020, 2, 1)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorkTree:
    """One commit to learn from, one to judge by: it writes two functions and clears a finding."""
    tree = WorkTree(tmp_path / "team")
    old = module(*BODIES, "return missing_name(first)")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2020-01-01T12:00:00+0000")
    tree.commit("Start", {"pkg/a.py": old})
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2020-03-01T12:00:00+0000")
    new = old.replace("missing_name(first)", "abs(first)").replace("- 2\n", "- 2 * second\n")
    new += "\n\ndef compute_later(first, second):\n    quotient = first // second\n    return [quotient, first]\n"
    tree.commit("Compute what comes later, too", {"pkg/a.py": new})
    return tree


def test_the_cases_are_news_to_the_adapter(work: WorkTree) -> None:
    found = plan(FinetuneConfig(repository=work.directory, base=DEFAULT_CHECKPOINT, until=LATER_DAY))
    sets = {measure.name: measure.cases for measure in later_measures(found, 20)}
    assert sets.keys() == {"lines", "syntax", "next hunk", "cleared findings", "faults"}
    assert {hole.missing for hole in sets["lines"]} == {
        "return abs(first)",
        "return total - 2 * second",
        "def compute_later(first, second):",
        "quotient = first // second",
        "return [quotient, first]",
    }
    assert "abs(first)" in {hole.missing for hole in sets["syntax"]}
    assert all(hole.missing not in found.selection.documents[0].text for hole in sets["lines"])
    (finding,) = sets["cleared findings"]
    assert finding.instruction == "F821 Undefined name `missing_name`"
    assert finding.document(finding.expected).endswith("return [quotient, first]\n"), "ruff sees the whole file"
    assert all(hunk.instruction == "Compute what comes later, too" for hunk in sets["next hunk"])
    assert [len(measure.cases) for measure in later_measures(found, 1)] == [1] * 5
    assert [len(measure.cases) for measure in later_measures(found, 1, 3)] == [3, 1, 1, 1, 1]
    assert later_measures(found, 20)[0].cases == sets["lines"], "the same cases every time"


def test_public_cases_are_the_standard_library_and_what_is_named(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text(module(*BODIES), "utf-8")
    config = tmp_path / "cases.json"
    config.write_text(json.dumps({"holes": {"others": {"path": str(tmp_path / "code")}}}), "utf-8")
    library, others = public_measures(config, 3, 0)
    assert (library.name, len(library.cases), others.name, len(others.cases)) == (STANDARD_LIBRARY, 3, "others", 3)
    config.write_text('{"hole": {}}', "utf-8")
    with pytest.raises(ValueError, match="unknown field `hole`"):
        public_measures(config, 3, 0)


def compared(
    tmp_path: Path, after: dict[str, Sequence[bool]], before: dict[str, Sequence[bool]], *, losses: Sequence[float]
) -> GateReport:
    def measured(sets: dict[str, Sequence[bool]], loss: float) -> Measured:
        info = ModelInfo(
            name="m", hash="0", adapter=None, device="cpu", vocabulary_size=2, block_size=8, parameters=1
        )  # fmt: skip
        judgements = {
            (name, MODE): [
                Judgement(task_id=str(n), passed=one, exact=one, tokens=2, forward_passes=1, milliseconds=1.0, text="")
                for n, one in enumerate(passed)
            ]
            for name, passed in sets.items()
        }
        return Measured(info=info, losses=[RowLoss(causal=loss, denoising=loss)] * 4, judgements=judgements)

    config = GateConfig(out=tmp_path, modes=(MODE,), holes={"x": TaskSet(path=Path(__file__).parent)})
    gate = Gate(config, samples=grouped_samples(["lines", "next hunk"]))
    new, old = losses
    return verdict_of(gate.compare(measured(after, new), measured(before, old), None))


NONE, HALF, ALL = [False] * 60, [True, False] * 30, [True] * 60


@pytest.mark.parametrize(
    ("after", "before", "losses", "verdict"),
    [
        ({"lines": HALF, "next hunk": HALF, "library": HALF}, {"lines": NONE}, (2.0, 2.0), "better"),
        ({"lines": HALF, "library": NONE}, {"lines": NONE, "library": HALF}, (2.0, 2.0), "worse"),
        ({"lines": NONE, "library": HALF}, {"lines": HALF, "library": HALF}, (2.0, 2.0), "worse"),
        ({"lines": HALF, "library": ALL}, {"lines": HALF, "library": HALF}, (2.0, 2.0), "same"),
        ({"lines": HALF, "library": HALF}, {"lines": HALF, "library": HALF}, (1.0, 3.0), "same"),
    ],
    ids=["later better", "forgotten", "later worse", "only others better", "only the loss fell"],
)
def test_the_verdict(
    tmp_path: Path,
    after: dict[str, Sequence[bool]],
    before: dict[str, Sequence[bool]],
    losses: tuple[float, float],
    verdict: str,
) -> None:
    report = compared(tmp_path, after, {name: before.get(name, HALF) for name in after}, losses=losses)
    assert report.verdict == verdict
    guarded = {(row.measure, row.quantity) for row in report.rows if row.guarded}
    assert guarded == {(LATER, "passed"), (PUBLIC, "passed"), (LATER, SPEED)}
    kept = result_of(report)
    assert kept.verdict == verdict
    assert kept.passed[PUBLIC].n == 60
