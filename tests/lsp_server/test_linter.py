"""Real ruff, asked over its standard input."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from diffill.lsp_server.documents import Document
from diffill.lsp_server.repair import linter
from diffill.lsp_server.repair.linter import Finding, LinterError, lint


def findings(text: str, *, path: Path | None = None, silenced_too: bool = False) -> list[Finding]:
    uri = path.as_uri() if path else "untitled:1"
    document = Document(uri=uri, language="python", version=0, text=text)
    return asyncio.run(lint(document, silenced_too=silenced_too))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_places_are_in_characters(end: str) -> None:
    text = f"a = '😀é'{end}\tb = '\u2028' + missing{end}".replace("\tb", "b")
    (finding,) = [finding for finding in findings(text) if finding.code == "F821"]
    assert text[finding.start : finding.end] == "missing"


def test_what_is_silenced_counts_when_a_repair_is_checked() -> None:
    text = "print(missing)  # noqa\n"
    assert findings(text) == []
    assert [finding.code for finding in findings(text, silenced_too=True)] == ["F821"]


def test_the_settings_of_the_project_hold(tmp_path: Path) -> None:
    (tmp_path / "ruff.toml").write_text('[lint]\nselect = ["E501"]\n', "utf-8")
    text = "x = '" + "a" * 100 + "'\nprint(missing)\n"
    assert [finding.code for finding in findings(text, path=tmp_path / "a.py")] == ["E501", "F821"]


def test_broken_settings_of_the_project_are_left_aside(tmp_path: Path) -> None:
    (tmp_path / "ruff.toml").write_text("no toml [", "utf-8")
    assert [finding.code for finding in findings("print(missing)\n", path=tmp_path / "a.py")] == ["F821"]


def test_a_lone_surrogate_is_no_obstacle() -> None:
    assert [finding.code for finding in findings("x = '\ud83d'\nprint(missing)\n")] == ["F821"]


def test_without_ruff_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    linter._executable.cache_clear()
    monkeypatch.setattr("sysconfig.get_path", lambda name: "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LinterError, match="ruff is not installed"):
        findings("x = 1\n")
    linter._executable.cache_clear()
