from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from diffill.cli.torch_probe import probe
from tests.command_line import fake_engine, run
from tests.hugging_face import change, model_of, save


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
    assert document["device"] in ("cpu", "cuda", "mps")
    assert "fail" not in states.values()
    detail = next(check["detail"] for check in document["checks"] if check["name"] == "checkpoint")
    assert str(tmp_path / "config.json") in detail


def test_a_device_that_is_not_there() -> None:
    absent = "cuda" if torch.backends.mps.is_available() else "mps"
    status, document, states = diagnose("--device", absent)
    assert (status, document["device"], states["device"]) == (1, None, "fail")
    assert absent in document["reason"]


def test_a_runtime_directory_open_to_others_is_a_failure(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    status, _, states = diagnose(DIFFILL_RUNTIME_DIR=str(tmp_path))
    assert status == 1
    assert states["runtime directory"] == "fail"


def test_a_model_in_hugging_face_layout_is_judged_before_it_is_loaded(tmp_path: Path) -> None:
    checkpoint = save(tmp_path / "small", model_of("qwen3"))
    with fake_engine() as environment:
        _, document, states = diagnose("--model", str(checkpoint), "--device", "cpu", **environment)
        details = {check["name"]: check["detail"] for check in document["checks"]}
        assert states["checkpoint"] == "ok"
        assert "has not learned diffusion" in details["checkpoint"] and "plain torch computes" in details["checkpoint"]
        assert "weights 0.0 GB" in details["memory"]
        change(checkpoint, hidden_size=1 << 28)  # more than any machine has
        status, document, states = diagnose("--model", str(checkpoint), "--device", "cpu", **environment)
    assert (status, document["usable"], states["memory"]) == (1, False, "fail")


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
        probe(tmp_path, "auto")
