"""What is left of the model's text once it meets the file. The cursor is written `|`."""

from __future__ import annotations

import pytest

from diffill.lsp_server.edits import insertion
from diffill.lsp_server.span import find_span
from diffill.model.code.syntax import Syntax
from diffill.model.request import Finish


def inserted(
    marked: str,
    filled: str,
    language: str = "python",
    *,
    invoked: bool = False,
    finish: Finish = "eom",
    indentation: str = "",
) -> str:
    offset = marked.index("|")
    text = marked[:offset] + marked[offset + 1 :]
    syntax = Syntax.parse(text, language)
    span = find_span(text, offset, syntax, invoked=invoked)
    assert span is not None
    return insertion(filled, span, syntax, finish=finish, indentation=indentation)


@pytest.mark.parametrize(
    ("marked", "filled", "expected"),
    [
        ("x = |", "foo(a)\ny = 2\n", "foo(a)"),
        ("x = |", "1   \n", "1"),
        ("x = |", "\n", ""),
        ("x = |", "   \n", ""),
        ("if |", "x:\n    y", "x:"),
        ("x = |", "1 \ufffd\ufffd", "1"),
    ],
)
def test_a_line_ends_at_its_end(marked: str, filled: str, expected: str) -> None:
    assert inserted(marked, filled) == expected


@pytest.mark.parametrize(
    ("marked", "filled", "expected"),
    [
        ("x = foo(|)", "a, b)", "a, b"),
        ("x = foo(|)", "a, b):", "a, b"),
        ("x = foo(bar(|)", "y)", "y)"),
        ("x = foo(bar(|))", "y))", "y"),
        ("x = foo(|)", "bar(y)", "bar(y)"),
        ("x = [|]", "1, 2]", "1, 2"),
        ('x = "|"', 'word"', "word"),
        ("x = foo(|)", "')'", "')'"),
        ("foo(\n    a, b|)\n", ", c)", ", c"),
    ],
)
def test_what_the_line_says_already_is_not_said_again(marked: str, filled: str, expected: str) -> None:
    assert inserted(marked, filled) == expected


def test_later_lines_that_the_file_has_are_trimmed() -> None:
    marked = "def f(a):\n    |\n\ndef g():\n    return other_value\n"
    filled = "return a\n\ndef g():\n    return other_value\n"
    assert inserted(marked, filled) == "return a"


def test_the_next_line_is_not_repeated() -> None:
    assert inserted("a = 1\n|\nb = 2\n", "b = 2\n") == ""
    assert inserted("a = 1\nb |\nb = 2\n", "= 2") == ""
    assert inserted("a = 1\n|\nb = 2\n", "b = 3\n") == "b = 3"


@pytest.mark.parametrize(
    ("marked", "filled", "expected"),
    [
        ("def f(a):|\n", "\n    b = a\n    return b\n\nx = 1\n", "\n    b = a\n    return b"),
        ("def f(a):\n    |\n", "b = a\n    return b\n\nx = 1\n", "b = a\n    return b"),
        ("def f(a):\n    |\n", "if a:\n        return 1\n    return 2\nx", "if a:\n        return 1\n    return 2"),
        ("def f(a):\n    |\n", "\n    return a\n", "return a"),
        ("def f(a):|\n", " return a\nx = 1\n", " return a"),
        ("class A:\n    def f(self):\n        |\n", "return 1\n\n    def g(self):\n        return 2\n", "return 1"),
    ],
)
def test_a_block_ends_where_the_text_dedents(marked: str, filled: str, expected: str) -> None:
    assert inserted(marked, filled) == expected


@pytest.mark.parametrize(
    ("marked", "filled", "expected"),
    [
        ("function f(a) {\n  |\n}\n", "return a;\n}\n\nfunction g() {", "return a;"),
        ("function f(a) {|}\n", "\n  return a;\n}\n", "\n  return a;\n"),
        ("function f(a) {|\n", "\n  return a;\n}\n\nfunction g() {}\n", "\n  return a;\n}"),
        ("  foo(() => {|});\n", "\n    return a;\n  });\n", "\n    return a;\n  "),
    ],
)
def test_closing_braces_are_kept_only_where_the_file_lacks_them(marked: str, filled: str, expected: str) -> None:
    assert inserted(marked, filled, "typescript") == expected


def test_a_last_line_cut_by_the_token_limit_is_dropped() -> None:
    filled = "b = a\n    return compu"
    assert inserted("def f(a):\n    |\n", filled, finish="length") == "b = a"
    assert inserted("def f(a):\n    |\n", filled) == filled


def test_a_statement_ends_when_its_brackets_are_closed() -> None:
    assert inserted("x = foo(|", "\n    a,\n    b,\n)\ny = 2\n", invoked=True) == "\n    a,\n    b,\n)"
    assert inserted("x = |", "1\ny = 2\n", invoked=True) == "1"


def test_lines_that_break_the_syntax_are_dropped() -> None:
    assert inserted("def f(a):\n    |\n", "b = a\n    return ((b\n    x = ) 1\n") == "b = a"
    assert inserted("x = 1\n|\n", "= = )\n") == ""


def test_a_line_may_open_what_a_later_one_closes() -> None:
    assert inserted("|\ny = 1\n", "if x > 3:\n    pass") == "if x > 3:"
    assert inserted("x = |", "foo(\n") == "foo("
    assert inserted("|", "if (x) {\n", "javascript") == "if (x) {"


@pytest.mark.parametrize(
    ("end", "marked"), [("\r\n", "def f(a):|\r\n"), ("\r", "x = 1\rdef f(a):|"), ("\n", "def f(a):|")]
)
def test_line_ends_as_in_the_file(end: str, marked: str) -> None:
    assert inserted(marked, "\n    b = a\n    return b\n") == f"{end}    b = a{end}    return b"


def test_tabs_and_spaces_as_in_the_file() -> None:
    tabs = inserted("class A:\n\tx = 1\n\n\tdef f(self):\n\t\t|\n", "if 1:\n            return 1\n        return 2\n")
    assert tabs == "if 1:\n\t\t\treturn 1\n\t\treturn 2"
    spaces = inserted("class A:\n  x = 1\n\n  def f(self):\n    |\n", "if 1:\n\t\t\treturn 1\n\t\treturn 2\n")
    assert spaces == "if 1:\n      return 1\n    return 2"


def test_without_a_grammar_lines_still_work() -> None:
    assert inserted("total := |", "x + 1;\nbar", "cobol") == "x + 1;"


@pytest.mark.parametrize(
    ("marked", "filled", "expected"),
    [
        ("y = 1\nx = |\ny = 2\n", "foo(", "foo()"),
        ("y = 1\nx = |\ny = 2\n", "foo(a, [b,", "foo(a, [b])"),
        ("y = 1\nx = foo(|)\ny = 2\n", "bar(", "bar()"),
    ],
)
def test_a_line_that_leaves_a_bracket_open_is_closed(marked: str, filled: str, expected: str) -> None:
    assert inserted(marked, filled) == expected


def test_a_brace_that_opens_a_block_stays_open() -> None:
    assert inserted("const f = |\nlet y = 2;\n", "(x) => {", "javascript") == "(x) => {"


BODY = "\n    if a:\n        return 1\n    return 2"


@pytest.mark.parametrize(
    ("marked", "indentation", "expected"),
    [
        ("def f(a):|", "", BODY),
        ("def f(a):|", "  ", BODY.replace("    ", "  ")),
        ("def f(a):|", "\t", BODY.replace("    ", "\t")),
        ("def g():\n    return 0\n\n\ndef f(a):|", "  ", BODY),
        ("def g():\n\treturn 0\n\n\ndef f(a):|", "  ", BODY.replace("    ", "\t")),
    ],
    ids=["not told", "spaces", "tabs", "the file has spaces", "the file has tabs"],
)
def test_a_file_without_indentation_gets_the_editors(marked: str, indentation: str, expected: str) -> None:
    assert inserted(marked, BODY, indentation=indentation) == expected


def test_a_line_that_is_indented_already_is_gone_on_with() -> None:
    assert inserted("def f(a):\n   |", "a += 1\n   return a", indentation="\t") == "a += 1\n   return a"
