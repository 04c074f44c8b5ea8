"""Reading an answer as code: right text is never at fault, however far it has come; wrong text is, near its error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffill.lsp_server.edits import insertion
from diffill.lsp_server.span import find_span
from diffill.model.code.guide import Guide
from diffill.model.code.span import Span
from diffill.model.code.syntax import Syntax
from tests.tiny import tiny_tokenizer

TOKENIZER = tiny_tokenizer()
TREES: dict[tuple[str, str], Syntax | None] = {}

# The cursor is at `|`, and what was there stands between it and the next `|`.
RIGHT = [
    ("python", "def f(a, b):\n    |x = [\n        a,\n        b,\n    ]\n    return x|\n\n\ndef g():\n    pass\n"),
    ("python", "def f(a):\n    |try:\n        a()\n    except ValueError:\n        '''\nno (\n'''\n    return a|\n"),
    ("python", "class A:\n    |@property\n    def f(self):\n        return (1 +\n                2)|\n\nx = A()\n"),
    ("python", "print(|a, [b]|)\n"),
    ("python", "x = {\n    'a': |f(1)|,\n    'b': 2,\n}\n"),
    ("python", "if |x:|\n    y = 1\n"),
    ("python", "é = |'😀' + f(a)|\n"),
    ("javascript", "function f(a) {\n  |const x =\n    a.map((y) => {\n      return y;\n    });\n  return x;|\n}\n"),
    ("javascript", "const o = { a: |f(1)| };\n"),
    ("java", "class A {\n  int f() {\n    |try {\n      g();\n    } catch (E e) {\n      h();\n    }|\n  }\n}\n"),
    ("java", "class A {\n  int f(|int a) {|\n    return a;\n  }\n}\n"),
    ("go", "package a\n\nfunc f(a int) int {\n\t|if a > 1 {\n\t\treturn 2\n\t}\n\treturn a|\n}\n"),
    ("rust", "fn f(a: u8) -> u8 {\n    |#[allow(x)]\n    let b = a\n        + 1;\n    b|\n}\n"),
    ("ruby", "def f(a)\n  |if a\n    1\n  end|\nend\n"),
    ("shellscript", "f() {\n  |if x; then\n    y\n  fi|\n}\n"),
]  # fmt: skip


def guide_at(language: str, marked: str) -> tuple[Guide, Span, Syntax, str]:
    """The guide for the place of a marked text, and what was there."""
    prefix, middle, suffix = marked.split("|")
    if (language, marked) not in TREES:
        TREES[language, marked] = Syntax.parse(prefix + suffix, language)
    syntax = TREES[language, marked]
    assert syntax is not None
    span = find_span(prefix + suffix, len(prefix), syntax)
    assert span is not None
    return Guide(span, TOKENIZER), span, syntax, middle


@pytest.mark.parametrize(("language", "marked"), RIGHT)
def test_right_text_is_never_at_fault(language: str, marked: str) -> None:
    guide, span, _, middle = guide_at(language, marked)
    tokens = TOKENIZER.encode(middle)
    assert guide.fault(tokens, True) is None
    for count in range(len(tokens)):
        assert guide.fault(tokens[:count], False) is None, middle.encode()[:count]
        assert span.kind == "line" or not guide.ended(tokens[:count])
    assert span.kind == "line" or guide.ended(TOKENIZER.encode(middle + "\n}\nx\n"))


@pytest.mark.parametrize(
    ("marked", "written", "finished", "suspects"),
    [
        ("x = ||\n", "foo(a]", True, "]"),
        ("x = ||\n", "foo(a))", True, ")"),
        ("x = ||\ny = 1\n", "a b", True, " b"),
        ("return ||\n", "a b)", True, " b)"),
        ("x = f(||)\n", "a b", True, " b"),
        ("x = ||\n", "(a +", True, "END"),
        ("    f(g(||\n", "a)", True, "END"),
        ("def f():\n    ||\n", "x = 1\n    y = a b\n", False, " b"),
        ("def f():\n    ||\n", "for x y in z:\n        pass\n", True, " x y"),
    ],
)
def test_an_error_is_found_where_it_is_made(marked: str, written: str, finished: bool, suspects: str) -> None:
    guide, _, _, _ = guide_at("python", marked)
    fault = guide.fault(TOKENIZER.encode(written), finished)
    assert fault is not None
    if suspects == "END":
        assert fault.first <= fault.last == len(written)
    else:
        assert set(range(fault.first, fault.last + 1)) & {written.rindex(suspects) + at for at in range(len(suspects))}
        assert fault.first > written.rfind("\n", 0, written.rindex(suspects))


@pytest.mark.parametrize(
    ("marked", "written"),
    [
        ("print(||)\n", "a)"),  # what follows says the bracket again, and the server takes it off
        ("x = ||\n", "foo("),  # and closes this one
        ("if x:\n    foo((||\n", "1,"),  # the error was there before, and the line goes on
        ("x = = ||\n", "1"),
        ("||", "anything ) at ] all\n"),
    ],
)
def test_what_is_mended_anyway_or_was_wrong_before_is_no_fault(marked: str, written: str) -> None:
    guide, _, _, _ = guide_at("python", marked if marked != "||" else "x = 1 # ||\n")
    assert guide.fault(TOKENIZER.encode(written), True) is None


def test_without_a_grammar_nothing_is_at_fault() -> None:
    guide = Guide(Span(kind="line", prefix="x", suffix="", language="cobol"), TOKENIZER)
    assert guide.fault(TOKENIZER.encode(") ) )"), True) is None


PIECES = [
    "a",
    " b",
    "(",
    ")",
    "[",
    "]",
    "'",
    ":",
    ",",
    " +",
    " = 1",
    "\n    ",
    "\n",
    "return",
    " if",
    "{",
    "}",
    "é",
    "#",
]
PLACES = [marked for language, marked in RIGHT if language == "python"]


@given(st.sampled_from(PLACES), st.data())
@settings(deadline=None, max_examples=300)
def test_what_passes_leaves_a_fresh_parse_no_worse(marked: str, data: st.DataObject) -> None:
    """The plain twin: the whole text, parsed anew with what the server puts into it."""
    guide, span, syntax, middle = guide_at("python", marked)
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(middle))] * 2)))
    piece = "".join(data.draw(st.lists(st.sampled_from(PIECES), max_size=3)))
    written = middle[:start] + piece + middle[stop:]
    fault = guide.fault(TOKENIZER.encode(written), True)
    shown = insertion(written, span, syntax, finish="eom")
    fresh = Syntax.parse(span.prefix + shown + span.suffix, "python")
    assert fresh is not None
    if fault is None:
        assert fresh.problems <= syntax.problems
    else:
        assert 0 <= fault.first <= fault.last <= len(TOKENIZER.encode(written))
        unchanged = Syntax.parse(span.prefix + written + span.suffix, "python")
        assert unchanged is not None and (unchanged.problems or shown != written)


@given(
    st.sampled_from([marked for marked in RIGHT if "\n" in marked[1].split("|")[1]]),
    st.text("ab )}]\n\t'", max_size=20),
)
@settings(deadline=None, max_examples=300)
def test_what_the_engine_does_not_write_would_have_been_cut_off(place: tuple[str, str], more: str) -> None:
    """The answer at the first token that ends the span, and the answer that goes on, are shown alike."""
    guide, span, syntax, middle = guide_at(*place)
    written = middle + more
    tokens = TOKENIZER.encode(written)
    end = next((count for count in range(len(tokens)) if guide.ended(tokens[:count])), None)
    if end is not None:
        short = insertion(TOKENIZER.decode(tokens[:end]), span, syntax, finish="span")
        assert short == insertion(written, span, syntax, finish="eom")
