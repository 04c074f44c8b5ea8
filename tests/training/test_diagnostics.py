"""The words of real tools."""

from __future__ import annotations

import pytest

from diffill.training.diagnostics import Diagnostic, compiled, news, parser, pyflakes, ruff


def test_ruff_answers_for_each_file() -> None:
    undefined, fine, broken, two = ruff(
        ["x = 1\nprint(y)\n", "print(1)\n", "def f(:\n    pass\n", "import os\nif a == None:\n    pass\n"]
    )
    assert undefined == [Diagnostic(2, "F821 Undefined name `y`")]
    assert fine == []
    assert broken and all(item.text.startswith("invalid-syntax ") and "\n" not in item.text for item in broken)
    assert [item.text.split()[0] for item in two] == ["F401", "F821", "E711"]


def test_ruff_ignores_the_files_around_it(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUFF_SELECT", "D")
    assert ruff(["def f():\n    pass\n"]) == [[]]


def test_pyflakes() -> None:
    assert pyflakes("import os\nprint(y)\n") == [
        Diagnostic(1, "'os' imported but unused"),
        Diagnostic(2, "undefined name 'y'"),
    ]
    assert pyflakes("def f(:\n") == []


def test_the_compiler() -> None:
    said = compiled("x = 1\nif x\n    pass\n")
    assert said == Diagnostic(2, "SyntaxError: expected ':'")
    assert isinstance(compiled("if x:\npass\n"), Diagnostic)
    assert not isinstance(compiled("x = 1\n"), Diagnostic | None)
    assert compiled("x = '\0'\n") is None or isinstance(compiled("x = '\0'\n"), Diagnostic)


@pytest.mark.parametrize("language", ["javascript", "typescript", "tsx"])
def test_the_parser(language: str) -> None:
    assert parser("f(a)\n", language) == []
    assert parser("let x\nf(a\n", language) == [Diagnostic(2, "SyntaxError: '(' is never closed")]
    assert [item.text for item in parser("f(a, b;\n", language)] == ["SyntaxError: ')' expected"]
    assert [item.text for item in parser("x = [a]]\n", language)] == ["SyntaxError: unexpected ']'"]


def test_news_is_what_the_correct_file_does_not_have() -> None:
    old = [Diagnostic(1, "F401 a"), Diagnostic(9, "F821 b")]
    assert news(old, [Diagnostic(2, "F401 a"), Diagnostic(10, "F821 b")], 5) == ""
    assert news(old, [*old, Diagnostic(30, "F821 b")], 5) == "F821 b", "once more than before"
    assert news(old, [*old, Diagnostic(30, "F821 c"), Diagnostic(7, "F841 d")], 5) == "F841 d", "the nearest"
