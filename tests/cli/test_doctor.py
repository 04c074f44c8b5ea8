from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from diffill.cli.doctor import choose_device
from diffill.cli.torch_probe import TorchReport, probe

from tests.command_line import fake_engine, run


def torch(*, cuda: int = 0, mps: bool = False) -> TorchReport:
    return TorchReport(
        version="2.0",
        cuda=[f"Device {index}" for index in range(cuda)],
        mps=mps,
        cpu_capability="AVX2",
        threads=2,
        checkpoint_hash="",
        checkpoint_problem="",
    )


@pytest.mark.parametrize(
    ("wanted", "found", "device"),
    [
        ("auto", torch(), "cpu"),
        ("auto", torch(mps=True), "mps"),
        ("auto", torch(cuda=1, mps=True), "cuda"),
        ("cpu", torch(cuda=1), "cpu"),
        ("cuda", torch(), None),
        ("cuda:1", torch(cuda=1), None),
        ("cuda:1", torch(cuda=2), "cuda:1"),
        ("mps", torch(cuda=1), None),
    ],
)
def test_device(wanted: str, found: TorchReport, device: str | None) -> None:
    assert choose_device(wanted, found)[0] == device


def diagnose(*arguments: str, **environment: str) -> tuple[int, dict[str, Any], dict[str, str]]:
    process = run("doctor", "--json", *arguments, **environment)
    assert process.stderr == ""
    document = json.loads(process.stdout)
    return process.returncode, document, {check["name"]: check["state"] for check in document["checks"]}


def test_a_broken_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", "utf-8")
    with fake_engine() as environment:
        status, document, states = diagnose("--checkpoint", str(tmp_path), **environment)
    assert (status, document["usable"]) == (1, False)
    assert states.pop("checkpoint") == "fail"
    assert "fail" not in states.values()
    detail = next(check["detail"] for check in document["checks"] if check["name"] == "checkpoint")
    assert str(tmp_path / "config.json") in detail


def test_a_runtime_directory_open_to_others_is_a_failure(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    status, _, states = diagnose(DIFFILL_RUNTIME_DIR=str(tmp_path))
    assert status == 1
    assert states["runtime directory"] == "fail"


def test_a_running_engine_is_shown() -> None:
    with fake_engine() as environment:
        assert run("engine", "start", **environment).returncode == 0
        process = run("doctor", **environment)
    assert "ok    engine: ready: fake 000000000000 on cpu" in process.stdout
    assert "\x1b" not in process.stdout


def test_a_torch_that_cannot_be_used_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('libfoo is missing')\n", "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ValueError, match=r"^ImportError: libfoo is missing$"):
        probe(tmp_path)
