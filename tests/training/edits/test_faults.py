"""Each fault on a file that has one place for it, and what holds of all of them."""

from __future__ import annotations

import hashlib
import random

import pytest

from diffill.training.diagnostics import parser
from diffill.training.edits.faults import put_faults
from diffill.training.edits.injected import CATALOGUES
from diffill.training.syntax import parse

PYTHON = {
    "wrong-comparison": ("x = a in b\n", {"x = a not in b\n"}),
    "wrong-operator": ("x = a and b\n", {"x = a or b\n"}),
    "wrong-method": ("x.upper()\n", {"x.lower()\n"}),
    "wrong-constant": ("x = True\n", {"x = False\n", "x = true\n", "x = None\n"}),
    "wrong-name": ("def f(a, b):\n    return a\n", {"def f(a, b):\n    return b\n", "def f(a, b):\n    return f\n"}),
    "misspelled-name": (
        "wxyz.a\n",
        {"wyxz.a\n", "wxzy.a\n", "wyz.a\n", "wxz.a\n", "wxxyz.a\n", "wxyyz.a\n", "wxyzs.a\n"},
    ),
    "misspelled-attribute": ("a.wwxww\n", {"a.wxwww\n", "a.wwwxw\n"}),
    "misspelled-target": ("total = 1\ntotal\n", {"totl = 1\ntotal\n"}),
    "off-by-one": ("x = y[0]\n", {"x = y[1]\n"}),
    "swapped-arguments": ("f(a, b)\n", {"f(b, a)\n"}),
    "negated-condition": ("if a:\n    b\n", {"if not a:\n    b\n"}),
    "missing-return": ("def f():\n    return 1\n", {"def f():\n    1\n"}),
    "missing-await": ("async def f():\n    await g()\n", {"async def f():\n    g()\n"}),
    "missing-self": ("x = self.y\n", {"x = y\n"}),
    "missing-self-parameter": ("def f(self, a):\n    a\n", {"def f(a):\n    a\n"}),
    "missing-import": ("from a import b, c\nd\n", {"from a import b\nd\n", "from a import c\nd\n"}),
    "missing-call": ("x = a.b()\n", {"x = a.b\n"}),
    "missing-colon": ("while a:\n    b\n", {"while a\n    b\n"}),
    "missing-comma": ("f(a, b)\n", {"f(a b)\n"}),
    "deleted-guard": ("def f():\n    if a:\n        return\n    b\n", {"def f():\n    b\n"}),
    "deleted-assignment": ("a = 1\nb\n", {"b\n"}),
    "deleted-statement": ("a = 1\nb()\n", {"a = 1\n", "b()\n"}),
    "doubled-line": ("a = b\n", {"a = b\na = b\n"}),
    "unclosed-bracket": ("x = (a)\n", {"x = (a\n"}),
    "extra-bracket": ("x = (a)\n", {"x = (a))\n"}),
    "unclosed-string": ("x = 'a'\n", {"x = 'a\n"}),
    "string-prefix": ("x = f'{a}'\n", {"x = '{a}'\n"}),
    "wrong-indentation": (
        "if a:\n    b()\n",
        {"if a:\nb()\n", "if a:\n   b()\n", "if a:\n     b()\n", "if a:\n        b()\n"},
    ),
    "unused-variable": (
        "def f():\n    g()\n",
        {f"def f():\n    {n} = g()\n" for n in ("result", "value", "ret", "response", "unused", "data")},
    ),
    "assignment-in-condition": ("if a == b:\n    c\n", {"if a = b:\n    c\n"}),
    "comparison-style": ("x = a is None\n", {"x = a == None\n"}),
    "mutable-default": ("def f(a=None):\n    a\n", {"def f(a=[]):\n    a\n", "def f(a={}):\n    a\n"}),
    "bare-except": ("try:\n    a\nexcept B:\n    c\n", {"try:\n    a\nexcept:\n    c\n"}),
}
JAVASCRIPT = {
    "wrong-operator": ("x = a && b\n", {"x = a || b\n"}),
    "wrong-method": ("a.pop()\n", {"a.shift()\n"}),
    "wrong-constant": ("x = null\n", {"x = undefined\n", "x = None\n"}),
    "wrong-name": (
        "function f(a, b) { return a }\n",
        {"function f(a, b) { return b }\n", "function f(a, b) { return f }\n"},
    ),
    "misspelled-name": (
        "f(wxyz)\n",
        {"f(wyxz)\n", "f(wxzy)\n", "f(wyz)\n", "f(wxz)\n", "f(wxxyz)\n", "f(wxyyz)\n", "f(wxyzs)\n"},
    ),
    "misspelled-attribute": ("f(a.wwww)\n", {"f(a.www)\n", "f(a.wwwww)\n", "f(a.wwwws)\n"}),
    "off-by-one": ("x = y[0]\n", {"x = y[1]\n"}),
    "swapped-arguments": ("f(a, b)\n", {"f(b, a)\n"}),
    "negated-condition": ("if (!a) b()\n", {"if (a) b()\n"}),
    "missing-return": ("function f() {\n  return 1\n}\n", {"function f() {\n  1\n}\n"}),
    "missing-await": ("async function f() {\n  await g()\n}\n", {"async function f() {\n  g()\n}\n"}),
    "missing-this": ("x = this.y\n", {"x = y\n"}),
    "missing-import": ("import a from 'b'\nc()\n", {"c()\n"}),
    "missing-comma": ("f(a, b)\n", {"f(a b)\n"}),
    "deleted-guard": ("function f() {\n  if (a) return\n  b()\n}\n", {"function f() {\n  b()\n}\n"}),
    "deleted-statement": ("a()\nb()\n", {"a()\n", "b()\n"}),
    "doubled-line": ("a()\n", {"a()\na()\n"}),
    "unclosed-bracket": ("x = [a]\n", {"x = [a\n"}),
    "extra-bracket": ("x = [a]\n", {"x = [a]]\n"}),
    "unclosed-string": ("x = 'a'\n", {"x = 'a\n"}),
    "string-prefix": ("x = `${a}`\n", {"x = '${a}'\n"}),
    "assignment-in-condition": ("if (a === b) c()\n", {"if (a = b) c()\n"}),
    "constant-binding": ("let a = 1\n", {"const a = 1\n"}),
}
EXAMPLES = [
    *(("python", name, *example) for name, example in PYTHON.items()),
    *(("javascript", name, *example) for name, example in JAVASCRIPT.items()),
]


def faults(text: str, language: str, names: set[str], seed: int, count: int = 1) -> list[tuple[str, str, str]]:
    """Name, the faulty file, and the faulty file after its repair."""
    tree = parse(text.encode(), language)
    assert tree is not None and not tree.root_node.has_error
    catalogue = {name: fault for name, fault in CATALOGUES[language].items() if name in names}
    found = put_faults(text, tree, catalogue, random.Random(seed), count=count, region_lines=24)
    return [(fault.name, fault.faulty, "".join(fault.repair.lines)) for fault in found]


@pytest.mark.parametrize(("language", "name", "text", "faulty"), EXAMPLES, ids=lambda value: str(value)[:24])
def test_each_fault(language: str, name: str, text: str, faulty: set[str]) -> None:
    found = [fault for seed in range(60) for fault in faults(text, language, {name}, seed)]
    assert {fault[1] for fault in found} == faulty
    assert {(fault[0], fault[2]) for fault in found} == {(name, text)}


def test_every_fault_has_an_example() -> None:
    assert set(PYTHON) | {"unused-import"} == set(CATALOGUES["python"])
    assert set(JAVASCRIPT) == set(CATALOGUES["javascript"])


def test_an_import_that_nobody_uses() -> None:
    text = "import a\n\nprint(a, os)\n"
    found = {fault[1] for seed in range(60) for fault in faults(text, "python", {"unused-import"}, seed)}
    assert "import re\nimport a\n\nprint(a, os)\n" in found
    assert not any("import os" in text for text in found), "the file names it"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("missing-call", "f(a)\n"),
        ("deleted-statement", "if a:\n    b()\n"),
        ("bare-except", "try:\n    a\nexcept B as b:\n    c\n"),
        ("misspelled-name", "def wxyz():\n    pass\n"),
        ("string-prefix", '"""What this is."""\n'),
        ("unclosed-string", '"""What this is."""\n'),
        ("off-by-one", "x = 1_000_000\n"),
        ("negated-condition", "if a == b:\n    c\n"),
    ],
)
def test_places_that_are_no_places(name: str, text: str) -> None:
    assert not [fault for seed in range(20) for fault in faults(text, "python", {name}, seed)]


def test_columns_are_bytes() -> None:
    assert faults("x = 'é', a in b\n", "python", {"wrong-comparison"}, 0)[0][1] == "x = 'é', a not in b\n"


def test_no_fault_is_much_more_often_than_another() -> None:
    text = "".join(
        f"def f{n}(self, a, b=None):\n    if a is None and b == {n}:\n        return self.g(a, b)\n    return True\n"
        for n in range(40)
    )
    names = [name for name, _, _ in faults(text, "python", set(CATALOGUES["python"]), 0, count=120)]
    counts = {name: names.count(name) for name in set(names)}
    assert len(names) == 120 and len(counts) > 12
    assert max(counts.values()) <= 20


def test_the_same_seed_gives_the_same_faults() -> None:
    text = "\n".join(example[0] for name, example in PYTHON.items() if name != "missing-import")
    every = set(CATALOGUES["python"])
    assert faults(text, "python", every, 1, 30) == faults(text, "python", every, 1, 30)
    assert faults(text, "python", every, 1, 30) != faults(text, "python", every, 2, 30)


def test_faults_of_form_are_seen_by_the_parser() -> None:
    for name in ("unclosed-bracket", "extra-bracket", "missing-comma"):
        text = JAVASCRIPT[name][0]
        assert parser(faults(text, "javascript", {name}, 0)[0][1], "javascript"), name


@pytest.mark.parametrize(
    ("language", "digest"),
    [("python", "1ab18263c0e8b28a"), ("javascript", "2cde0a0c441c7297")],
)
def test_the_same_seed_makes_the_same_faults_in_every_version(language: str, digest: str) -> None:
    """What decides a fault is no part of what names the kept parts of a build: a change here needs another seed."""
    text = "".join(
        wxyz.replace("wxyz", f"wxyz{n}")
        for n in range(3)
        for wxyz in dict.fromkeys(example[2] for example in EXAMPLES if example[0] == language)
        if wxyz.startswith(("def ", "if ", "function ", "async ", "x = ", "let ")) and "None):" not in wxyz
    )
    made = faults(text, language, set(CATALOGUES[language]), 0, count=150)
    assert len(made) > 100
    assert hashlib.sha256(repr([fault[:2] for fault in made]).encode()).hexdigest()[:16] == digest
