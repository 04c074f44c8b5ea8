"""Several repositories in turn: the rehearsal of the long run with a tiny base, and what its figures mean."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from diffill.model.request import ModelInfo
from diffill.training.evaluation.comparison import Estimate, Row, Rule
from diffill.training.evaluation.gate import GateReport
from diffill.training.finetune.teams import TeamsConfig, result_of
from tests.finetuning import call, done, small_base, team_repository


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("one", "two"):
        monkeypatch.setenv("GIT_COMMITTER_DATE", "2020-01-01T12:00:00+0000")
        tree = team_repository(tmp_path / name)
        monkeypatch.setenv("GIT_COMMITTER_DATE", "2020-03-01T12:00:00+0000")
        later = (tree.directory / "pkg/a.py").read_text().replace("* 11 +", "* 40 -")
        tree.commit("Take the second away", {"pkg/a.py": later})
    values = {
        "out": str(tmp_path / "out"), "base": str(small_base(tmp_path / "base")), "until": "2020-02-01",
        "repositories": {name: str(tmp_path / name) for name in ("one", "two")}, "epochs": 1,
        "gate_cases": 2, "line_cases": 2,
    }  # fmt: skip
    (tmp_path / "teams.json").write_text(json.dumps(values), "utf-8")
    return tmp_path / "teams.json"


def test_each_is_tuned_and_judged_once(config: Path, tmp_path: Path) -> None:
    report = done("eval", "teams", "--config", config)
    assert [result["name"] for result in report["results"]] == ["one", "two"]
    for result in report["results"]:
        assert result["steps"] > 0
        assert {"lines", "later commits", "public cases"} <= {row["measure"] for row in result["passed"]}
        assert (tmp_path / "out" / result["name"] / "report.html").is_file()
    assert (report["significant"], report["mean_difference"]["value"]) == (0, 0.0)
    assert report["mean_relative_gain"] is None, "no line came back with the base"
    assert json.loads((tmp_path / "out" / "teams.json").read_text()) == report
    shown = call("eval", "teams", "--config", config)
    assert "significant on 0 of 2" in shown.stdout, "and again, without training"
    missing = json.loads(config.read_text())
    config.write_text(json.dumps(missing | {"repositories": {"gone": str(tmp_path / "gone")}}))
    refused = call("eval", "teams", "--config", config)
    assert (refused.exit_code, "gone: REPO: " in refused.stderr) == (2, True)


def test_the_figures() -> None:
    estimates = [Estimate(value=value, ci95=(value - 0.03, value + 0.04)) for value in (0.2, 0.25, 0.05)]
    row = Row(
        measure="lines", mode="verify", quantity="passed", n=100, guarded=False,
        before=estimates[0], after=estimates[1], difference=estimates[2],
    )  # fmt: skip
    info = ModelInfo(
        name="m", hash="0", adapter=None, device="cpu", vocabulary_size=2, block_size=8, parameters=1
    )  # fmt: skip
    report = GateReport(
        verdict="better", reasons=[], rows=[row], after=info, before=info, unquantised=None, rule=Rule(),
        rule_in_words="", guarded_rows=3, device="cpu", seed=0,
    )  # fmt: skip
    result = result_of("a", report, {"seconds": 90.0, "steps": 7})
    assert (result.relative_gain, result.significant, result.minutes) == (pytest.approx(0.25), True, 1.5)
    with pytest.raises(ValueError, match="no line to judge by"):
        result_of("a", msgspec.structs.replace(report, rows=[]), {})
    with pytest.raises(ValueError, match="repositories: there is none"):
        TeamsConfig(out=Path(), base=Path(), repositories={})
