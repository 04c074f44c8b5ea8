from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import answers_file, fake_engine, refused, run, run_json

BROKEN = "def total(items):\n    return sum(itms)\n"
FIXED = BROKEN.replace("itms", "items")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    answers = {"sum(": "items", "return (a + 1": ")", "return a - b\n": "def add(a, b):\n    return a + b\n"}
    with fake_engine(answer="", table=answers_file(tmp_path_factory.mktemp("fix"), answers)) as environment:
        yield environment


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    file = tmp_path / "total.py"
    file.write_text(BROKEN, "utf-8")
    return file


def test_a_diff_and_nothing_else_on_standard_output(broken: Path, engine: dict[str, str]) -> None:
    process = run("fix", str(broken), **engine)
    assert process.returncode == 0
    assert process.stdout == (
        f"--- {broken}\n+++ {broken}\n@@ -1,2 +1,2 @@\n def total(items):\n"
        "-    return sum(itms)\n+    return sum(items)\n"
    )
    assert process.stderr == f"{broken}:2:16: fixed: F821 Undefined name `itms`\n"
    assert broken.read_text("utf-8") == BROKEN


def test_json_form(broken: Path, engine: dict[str, str]) -> None:
    answer = run_json("fix", f"{broken}:2", **engine)
    (fault,) = answer["faults"]
    assert fault == {
        "line": 2,
        "column": 16,
        "code": "F821",
        "message": "Undefined name `itms`",
        "fixed": True,
        "verified": True,
        "note": "",
    }
    assert (answer["fixed"], answer["applied"], answer["device"]) == (1, False, "cpu")
    assert answer["diff"].endswith("+    return sum(items)\n")


def test_the_file_is_replaced_with_its_mode_and_mark(broken: Path, engine: dict[str, str]) -> None:
    broken.write_bytes(b"\xef\xbb\xbf" + BROKEN.replace("\n", "\r\n").encode())
    broken.chmod(0o750)
    assert run_json("fix", str(broken), "--apply", **engine)["applied"] is True
    assert broken.read_bytes() == b"\xef\xbb\xbf" + FIXED.replace("\n", "\r\n").encode()
    assert broken.stat().st_mode & 0o777 == 0o750
    assert list(broken.parent.iterdir()) == [broken]


def test_no_fix_found(tmp_path: Path, engine: dict[str, str]) -> None:
    file = tmp_path / "other.py"
    file.write_text("def f():\n    return nowhere\n", "utf-8")
    process = run("fix", str(file), "--json", **engine)
    assert process.returncode == 1
    answer = json.loads(process.stdout)
    assert (answer["fixed"], answer["diff"], answer["faults"][0]["fixed"]) == (0, "", False)
    assert process.stderr.startswith(f"{file}:2:12: no fix found: F821 Undefined name `nowhere`")


def test_a_repair_that_could_not_be_checked_is_not_written(
    broken: Path, tmp_path: Path, engine: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ruff lists the faults, then fails when the repair is to be checked."""
    from click.testing import CliRunner

    from diffill.cli.fix import fix
    from diffill.lsp_server.repair import check
    from diffill.lsp_server.repair.linter import LinterError

    async def fails(*arguments: object, **keywords: object) -> None:
        raise LinterError("ruff did not answer")

    monkeypatch.setattr(check, "lint", fails)
    result = CliRunner().invoke(fix, [str(broken), "--apply"], env=engine)
    assert result.exit_code == 1, result.output
    assert "no fix found" in result.stderr
    assert broken.read_text("utf-8") == BROKEN


def test_a_file_without_faults(tmp_path: Path, engine: dict[str, str]) -> None:
    file = tmp_path / "fine.py"
    file.write_text(FIXED, "utf-8")
    process = run("fix", str(file), **engine)
    assert (process.returncode, process.stdout) == (0, "")
    assert process.stderr == "nothing to fix: no tool reports a fault\n"


def test_the_grammar_reports_for_other_languages(tmp_path: Path, engine: dict[str, str]) -> None:
    file = tmp_path / "sum.js"
    file.write_text("function f(a) {\n  return (a + 1;\n}\n", "utf-8")
    (fault, *_) = run_json("fix", str(file), "--apply", **engine)["faults"]
    assert (fault["code"], fault["fixed"], fault["verified"]) == ("syntax", True, True)
    assert file.read_text("utf-8") == "function f(a) {\n  return (a + 1);\n}\n"


def test_an_instruction_is_for_a_line(tmp_path: Path, engine: dict[str, str]) -> None:
    file = tmp_path / "add.py"
    file.write_text("def add(a, b):\n    return a - b\n", "utf-8")
    answer = run_json("fix", f"{file}:2", "--instruction", "add, do not subtract", **engine)
    assert answer["faults"][0]["verified"] is False
    assert answer["diff"].endswith("-    return a - b\n+    return a + b\n")
    message = refused(run("fix", str(file), "--instruction", "add", **engine))
    assert message == "diffill: --instruction: name the line that it is for, as FILE:LINE."


@pytest.mark.parametrize(
    ("place", "names"),
    [
        ("missing.py", "missing.py"),
        ("total.py:9", "line"),
        ("total.py:0", "line"),
        (".", "directory"),
        ("binary.py", "binary"),
    ],
)
def test_what_cannot_be_opened_is_named(broken: Path, engine: dict[str, str], place: str, names: str) -> None:
    (broken.parent / "binary.py").write_bytes(b"\0\1")
    line = refused(run("fix", str(broken.parent / place), **engine))
    assert line.startswith("diffill: FILE[:LINE]: ")
    assert names in line


def test_a_file_that_cannot_be_written_is_left_alone(broken: Path, engine: dict[str, str]) -> None:
    from diffill.cli.replace_file import replace_text

    with pytest.raises(ValueError, match="changed meanwhile"):
        replace_text(broken, FIXED, BROKEN)
    with pytest.raises(ValueError, match="cannot be written"):
        replace_text(broken.parent / "gone.py", "", BROKEN)
    assert broken.read_text("utf-8") == BROKEN
