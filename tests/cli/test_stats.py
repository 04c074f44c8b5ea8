from __future__ import annotations

import time
from pathlib import Path

import pytest

from diffill.lsp_server.usage_log import Accepted, Answered, Repaired, Retained, UsageLog
from tests.command_line import refused, run, run_json


@pytest.fixture
def state(tmp_path: Path) -> Path:
    log, now = UsageLog(tmp_path / "usage.jsonl"), time.time()
    for ms in range(1, 101):
        log.add(
            Answered(at=now, language="python", source="decoded", ms=float(ms), invoked=False, items=int(ms % 4 == 0))
        )
    log.add(Answered(at=now - 86_400 * 9, language="python", source="cache", ms=1.0, invoked=False, items=1))
    log.add(Accepted(at=now, language="python", characters=20))
    log.add(Retained(at=now, language="python", after=30, characters=20, retained=15))
    log.add(Repaired(at=now, language="python", kind="fix", ms=900.0, outcome="verified"))
    log.flush()
    return tmp_path


def test_json_form(state: Path) -> None:
    report = run_json("stats", "--days", "7", DIFFILL_STATE_DIR=str(state))
    assert (report["requests"], report["shown"], report["show_rate"], report["quiet_rate"]) == (100, 25, 0.25, 0.75)
    assert (report["accepted"], report["acceptance_rate"], report["accepted_characters"]) == (1, 0.04, 20)
    assert report["latency"] == {"decoded": {"n": 100, "p50_ms": 51.0, "p95_ms": 96.0}}
    assert report["retained"] == {"30": {"n": 1, "characters": 20, "retained": 15, "share": 0.75}}
    assert report["repairs"]["fix"]["verified"] == 1
    assert run_json("stats", DIFFILL_STATE_DIR=str(state))["requests"] == 101


def test_text(state: Path) -> None:
    process = run("stats", "--days", "7", DIFFILL_STATE_DIR=str(state))
    assert process.returncode == 0
    assert "100 requests while typing: shown 25%, quiet 75%" in process.stdout
    assert "75%" in process.stdout.split("characters kept")[1]


def test_nothing_recorded(tmp_path: Path) -> None:
    process = run("stats", DIFFILL_STATE_DIR=str(tmp_path))
    assert (process.returncode, process.stdout.splitlines()[-1]) == (0, "nothing was recorded yet")
    assert run_json("stats", DIFFILL_STATE_DIR=str(tmp_path))["show_rate"] is None


def test_wrong_input_is_named(tmp_path: Path) -> None:
    assert "--days" in refused(run("stats", "--days", "0"))
    (tmp_path / "usage.jsonl").mkdir()
    line = refused(run("stats", DIFFILL_STATE_DIR=str(tmp_path)), status=1)
    assert "usage.jsonl: cannot be read" in line
