"""The table of grammars."""

from __future__ import annotations

from pathlib import PurePath

import pytest

from diffill.lsp_server.edits import insertion
from diffill.lsp_server.span import find_span
from diffill.model.code.languages import LANGUAGES, language_of, parser_for
from diffill.model.code.span import Kind
from diffill.model.code.syntax import Syntax

# Where something is to be filled (`|`), what the model says without knowing where to stop, and what is inserted.
CASES: dict[str, list[tuple[str, Kind, str, str]]] = {
    "c": [("int f(int x) {\n    |\n}\n", "body", "return x;\n}\nint g;", "return x;")],
    "cpp": [("auto g = [](int a) {|};\n", "body", "\n    return a;\n}", "\n    return a;\n")],
    "csharp": [("class A {\n    int M(int x) {\n        |\n    }\n}\n", "body", "return x;\n    }\n}", "return x;")],
    "css": [("a {\n  |\n}\n", "block", "color: red;\n}\nb {", "color: red;")],
    "go": [("package a\n\nfunc f() {\n\t|\n", "block", "g()\n}\n\nfunc h()", "g()\n}")],
    "html": [("<div>\n  |\n", "block", "<p>x</p>\n</div>\n<div>", "<p>x</p>\n</div>")],
    "java": [("class A {\n    A() {\n        |\n    }\n}\n", "body", "f();\n    }", "f();")],
    "javascript": [("const f = (x) => {\n  |\n};\n", "body", "return x;\n};", "return x;")],
    "javascriptreact": [("const f = () => {\n  |\n};\n", "body", "return <b />;\n};", "return <b />;")],
    "json": [('{"a": |}\n', "line", "[1, 2]}", "[1, 2]")],
    "kotlin": [("fun f(x: Int): Int {\n    |\n}\n", "body", "return x\n}", "return x")],
    "lua": [
        ("function f(x)\n  |\n", "body", "return x\nend\nlocal y", "return x\nend"),
        ("if x then\n  |\nend\n", "block", "f()\nend", "f()"),
    ],
    "markdown": [("# Title\n\nSome |\n", "line", "text\n\nmore", "text")],
    "php": [("<?php\nfunction f($x) {\n    |\n}\n", "body", "return $x;\n}", "return $x;")],
    "python": [("def f(x):\n    |\n", "body", "return x\n\ny = 1", "return x")],
    "ruby": [
        ("def f(x)\n  |\n", "body", "x + 1\nend\nf(1)", "x + 1\nend"),
        ("a.each do |x|\n  |\nend\n".replace("|x|", "\x00x\x00"), "block", "puts x\nend", "puts x"),
    ],
    "rust": [("fn f(x: i32) -> i32 {\n    |\n}\n", "body", "x + 1\n}", "x + 1")],
    "scala": [("class A {\n  def f(x: Int): Int = {\n    |\n  }\n}\n", "body", "x + 1\n  }", "x + 1")],
    "shellscript": [
        ("if x; then\n  |\n", "block", "echo 1\nfi\necho 2", "echo 1\nfi"),
        ("f() {\n  |\n}\n", "body", "echo 1\n}", "echo 1"),
        ("for a in b; do\n  |\ndone\n", "block", "echo 1\ndone", "echo 1"),
    ],
    "sql": [("SELECT a FROM |;\n", "line", "b WHERE c = 1;", "b WHERE c = 1")],
    "swift": [("func f(x: Int) -> Int {\n    |\n}\n", "body", "return x\n}", "return x")],
    "toml": [("[a]\nb = |\n", "line", "[1, 2]\nc = 1", "[1, 2]")],
    "typescript": [("class A {\n  m(): number {\n    |\n  }\n}\n", "body", "return 1;\n  }\n}", "return 1;")],
    "typescriptreact": [("const f = () => {\n  |\n};\n", "body", "return <b />;\n};", "return <b />;")],
    "yaml": [("a:\n  |\n", "block", "b: 1\n  c: 2\nd: 3", "b: 1\n  c: 2")],
}


def test_every_language_has_a_case() -> None:
    assert sorted(CASES) == sorted(LANGUAGES)


@pytest.mark.parametrize(
    ("language", "marked", "kind", "filled", "inserted"),
    [(language, *case) for language, cases in CASES.items() for case in cases],
)
def test_what_is_filled_and_where_it_stops(language: str, marked: str, kind: Kind, filled: str, inserted: str) -> None:
    offset = marked.index("|")
    text = (marked[:offset] + marked[offset + 1 :]).replace("\x00", "|")
    syntax = Syntax.parse(text, language)
    assert syntax is not None
    span = find_span(text, offset, syntax)
    assert span is not None and span.kind == kind
    text_to_insert = insertion(filled, span, syntax, finish="eom")
    assert text_to_insert == inserted
    assert syntax.problems_with(offset, text_to_insert) <= syntax.problems


@pytest.mark.parametrize("name", ["sh", "cs", "jsonc"])
def test_other_names_of_a_language(name: str) -> None:
    assert parser_for(name) is not None


def test_without_a_grammar_a_line_is_filled() -> None:
    span = find_span("IF x\n  ", 7, Syntax.parse("IF x\n  ", "cobol"))
    assert span is not None and span.kind == "line"


def test_tsx_and_ts_are_two_grammars() -> None:
    element = b"const a = <b>c</b>;\n"
    typescript, tsx = parser_for("typescript"), parser_for("typescriptreact")
    assert typescript is not None and tsx is not None
    assert typescript.parse(element).root_node.has_error
    assert not tsx.parse(element).root_node.has_error


def test_an_unknown_language_has_none() -> None:
    assert parser_for("cobol") is None


@pytest.mark.parametrize(
    ("name", "language"),
    [("a.py", "python"), ("A.PY", "python"), ("a.tsx", "typescriptreact"), ("a.mjs", "javascript"), ("a", "plaintext")],
)
def test_language_of_a_file(name: str, language: str) -> None:
    assert language_of(PurePath(name)) == language
