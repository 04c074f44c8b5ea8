"""What may be shown: every case is one text before and one after, checked by the real tools."""

from __future__ import annotations

import asyncio

import pytest

from diffill.lsp_server.documents import Document
from diffill.lsp_server.repair.check import Checker, Verdict
from diffill.lsp_server.repair.fault import Fault, syntax_faults
from diffill.lsp_server.repair.linter import Finding, LinterError, lint

TYPO = "def total(items):\n    return sum(itms)\n"


def check(before: str, after: str, *, code: str = "F821", source: str = "ruff", language: str = "python") -> Verdict:
    document = Document(uri="file:///nowhere/a.py", language=language, version=0, text=before)

    async def verdict() -> Verdict:
        found = await lint(document) if language == "python" else []
        place = next((finding for finding in found if finding.code == code), None)
        fault = Fault.of_finding(place) if place else Fault(start=0, end=0, code=code, message="it is wrong")
        checker = await Checker.of(document)
        given = Fault(start=fault.start, end=fault.end, code=fault.code, message=fault.message, source=source)
        return await checker.verdict(after, given)

    return asyncio.run(verdict())


def test_a_cleared_finding_is_verified() -> None:
    assert check(TYPO, TYPO.replace("itms", "items")) == Verdict(accepted=True, verified=True)


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (TYPO, "it changes nothing"),
        (TYPO.replace("itms", "itemz"), "then reports F821"),
        (TYPO.replace("itms)", "items"), "it would not parse"),
        (TYPO.replace("(itms)", "(itms)  # noqa"), "it silences the tool"),
        (TYPO.replace("return sum(itms)", "pass"), "puts nothing there"),
        (TYPO.replace("    return sum(itms)\n", "    return\n"), "it only deletes"),
        (TYPO.replace("    return sum(itms)\n", "    # nothing\n"), "nothing there, or a comment"),
        (TYPO.replace("sum(itms)", "open('/etc/hosts').read().splitlines()"), "something else"),
        (TYPO.replace("itms", "len"), "something else"),
        ("import os\n" + TYPO.replace("itms", "items"), "then reports"),
    ],
)
def test_what_is_refused(after: str, reason: str) -> None:
    verdict = check(TYPO, after)
    assert not verdict.accepted
    assert reason in verdict.reason


def test_what_the_tool_asks_for_must_be_there() -> None:
    before = "def f(a):\n    if a != None:\n        return a\n"
    document = Document(uri="untitled:1", language="python", version=0, text=before)
    message = "Comparison to `None` should be `cond is not None`"
    fault = Fault(start=20, end=24, code="E711", message=message, source="flake8")

    async def verdict(after: str) -> Verdict:
        return await (await Checker.of(document)).verdict(after, fault)

    assert asyncio.run(verdict(before.replace("!=", "is"))).reason == "the tool asks for not"
    assert asyncio.run(verdict(before.replace("!=", "is not"))).accepted


def test_findings_that_only_move_are_not_new() -> None:
    before = "def f():\n    return missng\n\n\nmissing = 1\nprint(other)\n"
    after = "def f():\n    return missing\n\n\n\n\nmissing = 1\nprint(other)\n"
    assert check(before, after).verified


def test_what_is_not_used_may_be_deleted() -> None:
    assert check("import os\n\nx = 1\n", "\nx = 1\n", code="F401").verified


def test_an_import_may_be_added() -> None:
    before = "import sys\n\nprint(sys.path, os.sep)\n"
    assert check(before, "import os\n" + before).accepted


def test_a_tool_that_is_not_run_again_verifies_nothing() -> None:
    before = "def f(a):\n    return a.lenght\n"
    verdict = check(before, before.replace("lenght", "length"), code="attr-defined", source="mypy")
    assert (verdict.accepted, verdict.verified) == (True, False)
    assert "mypy was not run again" in verdict.reason


def test_other_languages_are_parsed_only() -> None:
    before = "function f(a) {\n  return a.lenght;\n}\n"
    verdict = check(before, before.replace("lenght", "length"), code="2551", source="ts", language="javascript")
    assert (verdict.accepted, verdict.verified) == (True, False)
    assert not check(before, before.replace("lenght;", "length);"), source="ts", language="javascript").accepted


def test_a_syntax_fault_is_verified_by_the_grammar() -> None:
    before = "function f(a) {\n  return (a + 1;\n}\n"
    document = Document(uri="file:///a.js", language="javascript", version=0, text=before)
    fault = syntax_faults(document)[0]

    async def verdict(after: str) -> Verdict:
        return await (await Checker.of(document)).verdict(after, fault)

    assert asyncio.run(verdict(before.replace("1;", "1);"))).verified
    assert not asyncio.run(verdict(before.replace("1;", "2;"))).accepted


def test_the_same_finding_mended_elsewhere_does_not_count() -> None:
    before = "def f(items):\n    print(itms)\n    return itms\n"
    first = before.replace("print(itms)", "print(items)")
    second = before.replace("return itms", "return items")
    assert check(before, first).verified
    assert check(before, "\n" + first).verified
    assert check(before, second) == Verdict(accepted=False, reason="ruff still reports F821 Undefined name `itms`")
    assert not check(before, "\n" + second).accepted
    assert check(before, first.replace("return itms", "return items")).verified


def test_the_nearest_of_several_findings_is_meant() -> None:
    text = "def f(a):\n    return (a is 1) is 2\n"
    wide, narrow = asyncio.run(lint(Document(uri="untitled:1", language="python", version=0, text=text)))
    assert (wide.code, wide.message) == (narrow.code, narrow.message)
    for finding in (wide, narrow):
        assert Fault.of_finding(finding).closest([wide, narrow]) == finding


@pytest.mark.parametrize(("source", "accepted"), [("Ruff", False), ("mypy", True)])
def test_a_tool_that_cannot_be_asked_again(monkeypatch: pytest.MonkeyPatch, source: str, accepted: bool) -> None:
    async def fails(*arguments: object, **keywords: object) -> list[Finding]:
        raise LinterError("ruff did not answer")

    monkeypatch.setattr("diffill.lsp_server.repair.check.lint", fails)

    async def verdict() -> Verdict:
        document = Document(uri="file:///a.py", language="python", version=1, text="x = itms\n")
        fault = Fault(start=4, end=8, code="F821", message="Undefined name `itms`", source=source)
        return await (await Checker.of(document)).verdict("x = items\n", fault)

    found = asyncio.run(verdict())
    assert (found.accepted, found.verified) == (accepted, False)
    assert found.reason.endswith("ruff did not answer")
