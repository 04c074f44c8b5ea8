"""Where the body of a function belongs, in place of its stub."""

from __future__ import annotations

import pytest

from diffill.lsp_server.repair.stub import looks_like_stub, stub_at
from diffill.model.code.syntax import Syntax


def opened(text: str, language: str) -> str | None:
    """The text with `|` where the body belongs; `^` marks the cursor."""
    offset = text.index("^")
    text = text.replace("^", "")
    stub = stub_at(text, offset, Syntax.parse(text, language))
    return None if stub is None else stub.text[: stub.place.start] + "|" + stub.text[stub.place.end :]


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("python", "def f():\n    pa^ss\n", "def f():\n    |\n"),
        ("python", "def f():\n    ^...\n\nx = 1\n", "def f():\n    |\n\nx = 1\n"),
        ("python", 'def f():\n    """Do.^"""\n', 'def f():\n    """Do."""\n    |\n'),
        (
            "python",
            'class A:\n  def f(self):\n    """Do."""\n    raise NotImplementedError("^")\n',
            'class A:\n  def f(self):\n    """Do."""\n    |\n',
        ),
        ("python", "def f(): ^pass\n", "def f():\n    |\n"),
        ("javascript", "function f(a) {^}\n", "function f(a) {\n    |\n}\n"),
        (
            "javascript",
            "class A {\n  f() {\n    throw new Error('^no');\n  }\n}\n",
            "class A {\n  f() {\n    |\n  }\n}\n",
        ),
        ("python", "def f():\n    return ^1\n", None),
        ("python", "x = ^1\n", None),
    ],
)
def test_stubs(language: str, text: str, expected: str | None) -> None:
    assert opened(text, language) == expected


@pytest.mark.parametrize(
    ("line", "is_stub"),
    [
        ("    pass", True),
        ("  ...", True),
        ("function f() {}", True),
        ("    todo!()", True),
        ("    throw new Error('not implemented');", True),
        ("", False),
        ("    return 1", False),
        ("x = {}", False),
        ("passed = 1", False),
    ],
)
def test_lines_that_look_like_stubs(line: str, is_stub: bool) -> None:
    assert looks_like_stub(line) is is_stub
