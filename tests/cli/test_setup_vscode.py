"""`diffill setup vscode` with an editor that keeps its extensions in a text file. The real one: tests/e2e/vscode."""

from __future__ import annotations

from pathlib import Path

import pytest

from diffill.cli import vscode_extension
from diffill.cli.vscode_extension import VSCode
from tests.command_line import refused, run

EDITOR = """\
#!/bin/sh
case "$1" in
  --install-extension) echo diffill.diffill@0.1.0 > "{list}" ;;
  --uninstall-extension) : > "{list}" ;;
  --list-extensions) echo other.thing@1.0.0; cat "{list}" ;;
  *) echo "what is $1?" >&2; exit 3 ;;
esac
"""


@pytest.fixture
def editor(tmp_path: Path) -> VSCode:
    script = tmp_path / "code"
    (tmp_path / "list").touch()
    script.write_text(EDITOR.format(list=tmp_path / "list"))
    script.chmod(0o755)
    return VSCode(program=str(script))


def test_it_comes_and_goes(editor: VSCode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = tmp_path / "diffill.vsix"
    monkeypatch.setattr(vscode_extension, "PACKED", packed)
    with pytest.raises(ValueError, match="make extension"):
        editor.install()
    packed.touch()
    assert editor.installed() is None
    assert editor.install() == "0.1.0"
    assert editor.remove() is True
    assert editor.remove() is False


def test_what_the_editor_refuses_is_told_in_its_words(editor: VSCode) -> None:
    with pytest.raises(ValueError, match=r"code --wrong: what is --wrong\?"):
        editor._run("--wrong")


def test_no_editor_is_one_line(tmp_path: Path) -> None:
    assert "there is no such program" in refused(run("setup", "vscode", "--code", str(tmp_path / "none")))


def test_removing_forgets_the_interpreter(editor: VSCode, tmp_path: Path) -> None:
    note = tmp_path / "diffill" / "interpreter"
    note.parent.mkdir()
    note.write_text("/usr/bin/python3\n")
    done = run("setup", "vscode", "--remove", "--code", editor.program, XDG_DATA_HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, f"nothing was installed in {editor.program}\n")
    assert not note.exists()
