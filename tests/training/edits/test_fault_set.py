"""The set of repairs to measure with: whole files, evenly over the faults, the same every time."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from diffill.cli.edits import faults
from diffill.training.corpus.manifest import write_manifest
from diffill.training.diagnostics import ruff
from diffill.training.edits.fault_set import FaultSetConfig, make_fault_set
from tests.training.git_repository import WorkTree

from .test_build import document


@pytest.fixture
def config(tmp_path: Path) -> FaultSetConfig:
    work = WorkTree(tmp_path / "work")
    files = {"pkg/a.py": document("alpha").text, "pkg/b.py": document("gamma").text, "b.md": "text\n"}
    work.commit("Start", files | {"tests/test_a.py": document("beta").text})
    write_manifest(tmp_path / "held-out.json", [work.publish(tmp_path / "archives", "owner/name")])
    return FaultSetConfig(
        out=tmp_path / "faults.jsonl", manifest=tmp_path / "held-out.json", archives=tmp_path / "archives", count=3
    )


def test_cases(config: FaultSetConfig) -> None:
    report = make_fault_set(config)
    cases = [json.loads(line) for line in config.out.read_text().splitlines()]
    assert report.cases == len(cases) == 3
    assert report.with_diagnostic == sum(bool(case["instruction"]) for case in cases)
    assert max(report.faults.values()) == 1
    files = {document("alpha").text, document("gamma").text}
    for case in cases:
        assert case["prefix"] + case["after"] + case["suffix"] in files, "the whole file"
        assert case["before"] != case["after"]
        assert case["kind"] == "fault" and case["source"].startswith("owner/name ")
        assert case["after"].startswith("def ") and case["after"].count("\n") <= 24, "the function"
        (said,) = ruff([case["prefix"] + case["before"] + case["suffix"]])
        assert case["instruction"] in ["", *(diagnostic.text for diagnostic in said)]


def test_the_same_every_time_and_compressed(config: FaultSetConfig, tmp_path: Path) -> None:
    make_fault_set(config)
    again = msgspec.structs.replace(config, out=tmp_path / "again" / "faults.jsonl.gz")
    make_fault_set(again)
    assert gzip.decompress(again.out.read_bytes()) == config.out.read_bytes()


def test_command(config: FaultSetConfig, tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_bytes(msgspec.json.encode(config, enc_hook=str))
    result = CliRunner().invoke(faults, ["--config", str(path), "--json"])
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["cases"] == 3
    write_manifest(config.manifest, [])
    result = CliRunner().invoke(faults, ["--config", str(path)])
    assert result.exit_code == 2
    assert "yields no fault" in result.stderr.strip().splitlines()[-1]
