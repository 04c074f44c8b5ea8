"""Where `diffill setup neovim` puts the plugin. Whether it works there: tests/e2e/neovim."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from diffill.cli.neovim_pack import PLUGIN, Neovim
from tests.command_line import refused, run


@pytest.fixture
def editor(tmp_path: Path) -> Neovim:
    return Neovim(program="nvim", data=tmp_path / "nvim", version="0.12")


def everything(editor: Neovim) -> list[str]:
    return sorted(str(path.relative_to(editor.data)) for path in editor.data.rglob("*") if path.is_file())


def test_it_comes_and_goes(editor: Neovim) -> None:
    assert editor.remove() is False
    for _ in range(2):  # the second time in the place of the first
        editor.install()
        start = editor.pack / "start"
        assert sys.executable in (start / "enable" / "plugin" / "diffill_enable.lua").read_text("utf-8")
        assert (start / "diffill" / "lsp" / "diffill.lua").is_file()
    assert editor.remove() is True
    assert list(editor.data.iterdir()) == []
    assert (PLUGIN / "lsp" / "diffill.lua").is_file()  # the link went, not what it points to


def test_without_links_the_plugin_is_copied(editor: Neovim, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*arguments: object, **options: object) -> None:
        raise OSError

    monkeypatch.setattr(Path, "symlink_to", no_links)
    editor.install()
    assert not (editor.pack / "start" / "diffill").is_symlink()
    editor.install()
    assert editor.remove() is True and everything(editor) == []


@pytest.mark.parametrize("name", ["start/diffill", "start/mine", "opt/diffill"])
def test_what_a_person_put_there_stays(editor: Neovim, name: str) -> None:
    notes = editor.pack / name / "plugin" / "notes.lua"
    notes.parent.mkdir(parents=True)
    notes.write_text("-- mine\n")
    for act in (editor.install, editor.remove):
        with pytest.raises(ValueError, match=f"holds {name}, which is not of this command"):
            act()
    assert everything(editor) == [f"site/pack/diffill/{name}/plugin/notes.lua"]


def test_beside_what_others_installed(editor: Neovim) -> None:
    other = editor.data / "site" / "pack" / "other" / "start" / "thing.lua"
    other.parent.mkdir(parents=True)
    other.touch()
    editor.install()
    assert editor.remove() is True
    assert everything(editor) == ["site/pack/other/start/thing.lua"]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 1", "does not answer as Neovim does"),
        ("echo '[\"/x\", 0, 10]'", "it is version 0.10; Neovim 0.11 or newer is needed"),
    ],
)
def test_another_program_is_one_line(tmp_path: Path, script: str, reason: str) -> None:
    program = tmp_path / "nvim"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    assert reason in refused(run("setup", "neovim", "--nvim", str(program)))


def test_no_editor_is_one_line(tmp_path: Path) -> None:
    assert "there is no such program" in refused(run("setup", "neovim", "--nvim", str(tmp_path / "none")))
