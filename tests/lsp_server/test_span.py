"""What is filled at a cursor (written `|`) and where it stops."""

from __future__ import annotations

import pytest

from diffill.lsp_server.span import find_span
from diffill.model.code.span import Span
from diffill.model.code.syntax import MAX_LINES, Syntax


def span_at(marked: str, language: str = "python", *, invoked: bool = False) -> Span | None:
    offset = marked.index("|")
    text = marked[:offset] + marked[offset + 1 :]
    return find_span(text, offset, Syntax.parse(text, language), invoked=invoked)


def kind_at(marked: str, language: str = "python", *, invoked: bool = False) -> str | None:
    span = span_at(marked, language, invoked=invoked)
    return span and span.kind


@pytest.mark.parametrize(
    "marked",
    [
        "def f(x):|",
        "def f(x):\n    |",
        "def f(x):\n    |\n\nx = 1\n",
        "class A:\n    def f(\n            self,\n            x):\n        |\n\n    def g(self):\n        pass\n",
        "def f():\n    '''What it does.'''\n    |\n",
        "def f():\n    '''What it does.'''\n    # And how.\n    |\n",
        "async def f():  # note\n    |",
        "def f():\r\n    |\r\n",
    ],
)
def test_an_empty_python_function_asks_for_its_body(marked: str) -> None:
    assert kind_at(marked) == "body"


@pytest.mark.parametrize(
    "marked",
    [
        "if x:|",
        "for i in y:\n    |\n",
        "try:\n    x\nexcept E:\n    |\n",
        "else:|",
        "x = foo(\nif x:|",  # the tree has an error before it
        "match x:\n    case 1:\n        |\n",
        "if x:|\ny = 1\n",
    ],
)
def test_an_empty_python_block_asks_for_several_lines(marked: str) -> None:
    assert kind_at(marked) == "block"


@pytest.mark.parametrize(
    "marked",
    [
        "x = 1|",
        "x = lambda y:|",
        "x = {'a':|}",
        "y = x[1:|",
        "# if x:|",
        "s = 'if x:|'",
        "def f():|\n    return 1\n",
        "def f():\n    |\n    return 1\n",
        "def f():\n    x = 1\n    |\n",
        "def f():  # note|",
        "def f():\n|",
        'def f():\n    """What it does."""|\n',
        "print(|)",
    ],
)
def test_elsewhere_python_asks_for_a_line(marked: str) -> None:
    assert kind_at(marked) == "line"


@pytest.mark.parametrize(
    ("marked", "kind"),
    [
        ("function f(x) {|", "body"),
        ("function f(x) {|}", "body"),
        ("function f() {\n  |\n}\n", "body"),
        ("const f = () => {\n  |\n}", "body"),
        ("items.map(function () {|)", "body"),
        ("class A {\n  m() {\n    |\n  }\n}", "body"),
        ("if (x) {\n  // why\n  |\n}", "block"),
        ("if (x) {\n  |\n  y();\n}", "line"),
        ("const s = `${|}`", "line"),
        ("import {|}", "line"),
        ("// if (x) {|", "line"),
    ],
)
@pytest.mark.parametrize("language", ["javascript", "typescript", "typescriptreact"])
def test_braces(marked: str, kind: str, language: str) -> None:
    assert kind_at(marked, language) == kind


@pytest.mark.parametrize("marked", ["pri|nt()", "x| = 3", "foo(|a, b)", "x = |y + 1"])
def test_code_right_of_the_cursor_is_left_alone_unless_asked(marked: str) -> None:
    assert kind_at(marked) is None
    assert kind_at(marked, invoked=True) == "line"


@pytest.mark.parametrize("after", ["", ")", "])", ")}", '")', "):", " {", ");", "),", ">"])
def test_what_only_closes_may_stand_right_of_the_cursor(after: str) -> None:
    assert kind_at("x|" + after, "plaintext") == "line"


def test_asked_for_a_statement_may_take_several_lines() -> None:
    span = span_at("x = foo(|", invoked=True)
    assert span is not None
    assert (span.kind, span.stop_at_line_end) == ("statement", False)


def test_indentation_at_which_a_block_ends() -> None:
    at_cursor = span_at("class A:\n    def f(self):\n        |")
    at_header = span_at("class A:\n    def f(self):|")
    tabs = span_at("class A:\n\tdef f(self):\n\t\t|")
    assert at_cursor and at_header and tabs
    assert (at_cursor.indentation, at_header.indentation, tabs.indentation) == (8, 5, 16)
    assert at_cursor.header_indentation == "    "


def test_limits() -> None:
    line, body = span_at("x = |"), span_at("def f():|")
    assert line and body
    assert (line.stop_at_line_end, line.max_tokens) == (True, 48)
    assert (body.stop_at_line_end, body.max_tokens) == (False, 128)


def test_a_long_or_unknown_text_falls_back_to_lines() -> None:
    assert kind_at("x = 1\n" * MAX_LINES + "def f():|") == "line"
    assert kind_at("x" * 500_001 + "\ndef f():|") == "line"
    assert kind_at("def f():|", "cobol") == "line"


@pytest.mark.parametrize("marked", ["|", "\n|\n", "x\ud83d = '|", "é = '😀'\nif é:|", "\x00|\x0c"])
@pytest.mark.parametrize("language", ["python", "typescript", "plaintext"])
def test_any_text_is_taken(marked: str, language: str) -> None:
    assert span_at(marked, language) is not None


def test_offsets_are_characters_where_bytes_differ() -> None:
    assert kind_at("s = 'ééé😀'\ndef f():\n    |\n") == "body"
    assert kind_at("s = 'ééé😀'\rdef f():\r    |\r") == "body"
