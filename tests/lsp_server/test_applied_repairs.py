"""Repairs that were applied: what the editor's own tools say of them then, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from diffill.lsp_server.applied_repairs import PATIENCE_SECONDS, SETTLE_SECONDS, AppliedRepairs, Doubt, Said
from diffill.lsp_server.documents import Document, Documents, Edit
from diffill.lsp_server.repair.hunks import hunks
from diffill.lsp_server.repair.repair import Repair
from diffill.lsp_server.tasks import Position, Range, Task
from tests.fake_answers import Answers
from tests.lsp_client import LspClient, Message, insert, lsp_client
from tests.lsp_server.conftest import CAPABILITIES
from tests.lsp_server.test_code_actions import actions, applied, quick_fix

URI = "file:///a.js"
BEFORE = "function f(a) {\n  return a.lenght;\n}\n"
AFTER = BEFORE.replace("lenght", "length")
PLACE = {"start": {"line": 1, "character": 11}, "end": {"line": 1, "character": 17}}
TYPO = {"range": PLACE, "code": 2551, "source": "ts", "message": "Property 'lenght' does not exist", "severity": 1}
OTHER = {**TYPO, "code": 2339, "message": "Property 'size' does not exist"}
UNUSED = {**TYPO, "code": 6133, "message": "'a' is declared but never used", "severity": 4}


class Clock:
    """Time that passes when it is told to; what was to be done by then is done."""

    def __init__(self) -> None:
        self.now = 100.0
        self._due: list[Timer] = []

    def __call__(self) -> float:
        return self.now

    def later(self, seconds: float, work: Callable[[], None]) -> Timer:
        self._due.append(Timer(at=self.now + seconds, work=work, among=self._due))
        return self._due[-1]

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self._due and (timer := min(self._due, key=lambda timer: timer.at)).at <= end:
            self.now = timer.at
            timer.cancel()
            timer.work()
        self.now = end


class Timer:
    def __init__(self, *, at: float, work: Callable[[], None], among: list[Timer]) -> None:
        self.at, self.work, self._among = at, work, among

    def cancel(self) -> None:
        if self in self._among:
            self._among.remove(self)


class Desk:
    """One file in which a typo is repaired."""

    def __init__(self) -> None:
        self.clock, self.doubts = Clock(), list[Doubt]()
        documents = Documents()
        self.documents = documents
        self.applied = AppliedRepairs(
            documents=documents, on_doubt=[self.doubts.append], later=self.clock.later, clock=self.clock
        )
        self.document = Document(uri=URI, language="javascript", version=1, text=BEFORE)
        documents.open(self.document)

    def says(self, *diagnostics: Message) -> None:
        self.applied.told(URI, said(*diagnostics))

    def hand_out(self, text: str = AFTER, *, verified: bool = False) -> None:
        at = Range(start=Position(line=1, character=11), end=Position(line=1, character=17))
        task = Task(uri=URI, range=at, code="2551", source="ts", message=str(TYPO["message"]))
        repair = Repair(edits=hunks(BEFORE, text), text=text, verified=verified, note="")
        self.applied.handed_out(task, self.document, repair)

    def apply(self, text: str = AFTER) -> None:
        self.document.version += 1
        for edit in reversed(hunks(self.document.text, text)):
            self.documents.edit(self.document, edit)
        assert self.document.text == text

    @property
    def reasons(self) -> list[str]:
        return [doubt.reason for doubt in self.doubts]


def said(*diagnostics: Message) -> list[Said]:
    place = Range(start=Position(line=1, character=0), end=Position(line=1, character=0))
    return [Said(**{**diagnostic, "range": place}) for diagnostic in diagnostics]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_repair_after_which_the_diagnostic_is_gone_is_left_alone(desk: Desk) -> None:
    desk.says(TYPO, OTHER)
    desk.hand_out()
    desk.apply()
    desk.says(OTHER, UNUSED)  # a hint is no fault
    desk.clock.wait(60)
    assert not desk.doubts


def test_a_new_fault_is_told_when_the_tools_have_settled(desk: Desk) -> None:
    desk.says(TYPO)
    desk.hand_out()
    desk.apply()
    desk.says(TYPO, OTHER)
    desk.clock.wait(SETTLE_SECONDS - 0.1)
    assert not desk.doubts
    desk.clock.wait(0.1)
    assert desk.reasons == ["ts now reports: Property 'size' does not exist"]
    assert desk.applied.refused(URI) == {AFTER}
    desk.clock.wait(60)
    assert len(desk.doubts) == 1


def test_what_comes_and_goes_while_the_tools_work_does_not_count(desk: Desk) -> None:
    desk.says(TYPO)
    desk.hand_out()
    desk.apply()
    desk.says(TYPO, OTHER)
    desk.clock.wait(SETTLE_SECONDS / 2)
    desk.says()
    desk.clock.wait(60)
    assert not desk.doubts


def test_a_diagnostic_that_stays_is_told_after_some_patience(desk: Desk) -> None:
    desk.says(TYPO)
    desk.hand_out()
    desk.apply()
    desk.says(TYPO)
    desk.clock.wait(PATIENCE_SECONDS - 0.1)
    assert not desk.doubts
    desk.clock.wait(0.1)
    assert len(desk.doubts) == 1 and desk.reasons[0].startswith("ts still reports: Property 'lenght'")


@pytest.mark.parametrize(
    "happens",
    [
        lambda desk: None,  # no tool has spoken: nobody knows
        lambda desk: (desk.says(TYPO), desk.documents.edit(desk.document, Edit(start=0, end=0, text="x"))),
        lambda desk: (desk.says(TYPO), desk.apply(BEFORE)),  # the person took it back
        lambda desk: (desk.says(TYPO), desk.documents.close(URI)),
        lambda desk: (desk.says(TYPO), desk.applied.close()),
    ],
    ids=["no report", "typed on", "undone", "document closed", "connection closed"],
)
def test_without_a_report_on_the_repaired_text_nothing_is_said(desk: Desk, happens: Callable[[Desk], object]) -> None:
    desk.says(TYPO)
    desk.hand_out()
    desk.apply()
    happens(desk)
    desk.clock.wait(60)
    assert not desk.doubts


def test_a_repair_that_is_never_applied_is_never_doubted(desk: Desk) -> None:
    desk.hand_out()
    desk.says(TYPO, OTHER)
    desk.clock.wait(60)
    desk.apply(BEFORE + "// more\n")
    desk.says(OTHER, OTHER)
    desk.clock.wait(60)
    assert not desk.doubts


def test_what_was_reported_before_the_editor_applied_it_is_not_its_fault(desk: Desk) -> None:
    desk.says(TYPO)
    desk.hand_out()
    desk.says(TYPO, OTHER)  # while the person looks at the diff
    desk.apply()
    desk.says(OTHER)
    desk.clock.wait(60)
    assert not desk.doubts


def test_what_the_tool_itself_confirmed_is_doubted_for_new_faults_only(desk: Desk) -> None:
    for after, count in ((TYPO, 0), (OTHER, 1)):
        desk.says(TYPO)
        desk.hand_out(verified=True)
        desk.apply()
        desk.says(after)
        desk.clock.wait(60)
        assert len(desk.doubts) == count
        desk.apply(BEFORE)


def test_a_client_that_only_asks_for_actions_tells_whether_the_diagnostic_stays(desk: Desk) -> None:
    moved = "// one\n" + AFTER
    desk.hand_out(moved)
    desk.apply(moved)
    desk.applied.asked(URI, (2, 2), said(TYPO))
    assert not desk.doubts  # the tool has had no time
    desk.clock.wait(PATIENCE_SECONDS)
    desk.applied.asked(URI, (0, 1), said())  # elsewhere
    desk.applied.asked(URI, (2, 2), said(TYPO, OTHER))
    assert len(desk.doubts) == 1 and "still reports" in desk.reasons[0]


def test_only_some_repairs_are_watched(desk: Desk) -> None:
    for number in range(100):
        desk.hand_out(AFTER + f"// {number}\n")
    desk.says(TYPO)
    desk.apply(AFTER + "// 0\n")
    desk.says(TYPO)
    desk.clock.wait(60)
    assert not desk.doubts
    desk.apply(AFTER + "// 99\n")
    desk.says(TYPO)
    desk.clock.wait(60)
    assert len(desk.doubts) == 1


# The real server, over the protocol.


@pytest.fixture(scope="module")
def client(answers: Answers) -> Iterator[LspClient]:
    """Answers no questions by itself."""
    with lsp_client(answer="", table=str(answers.path), answers_requests=False) as client:
        client.initialize(encodings=["utf-16"], capabilities=CAPABILITIES)
        client.wait_ready()
        yield client


def report(client: LspClient, uri: str, *diagnostics: Message) -> None:
    client.notify("diffill/diagnostics", {"uri": uri, "diagnostics": list(diagnostics)})


def repaired(client: LspClient, uri: str) -> None:
    """Open a file with a typo, have it repaired, apply that, and report another fault in its place."""
    client.open(BEFORE, uri=uri, language="javascript")
    report(client, uri, TYPO)
    edit = client.request("codeAction/resolve", quick_fix(client, uri, TYPO))["edit"]
    (change,) = edit["documentChanges"][0]["edits"]
    client.change(uri, 2, {"range": change["range"], "text": change["newText"]})
    report(client, uri, OTHER)


def answered(client: LspClient, uri: str, title: str | None) -> Message:
    """Answer the server's question about a repair; the question."""
    request = client.wait(lambda message: message.get("method") == "window/showMessageRequest")
    client.received.remove(request)
    client.send({"id": request["id"], "result": {"title": title} if title else None})
    question: Message = request["params"]
    return question


def test_the_person_can_take_a_doubtful_repair_back(client: LspClient, answers: Answers) -> None:
    answers.set({"return a.": "length"})
    uri = "file:///doubt.js"
    repaired(client, uri)
    question = answered(client, uri, "Undo the repair")
    assert question["message"] == "After the repair ts now reports: Property 'size' does not exist"
    assert [action["title"] for action in question["actions"]] == ["Undo the repair", "Keep it"]
    params = client.notification("workspace/applyEdit")
    (document,) = params["edit"]["documentChanges"]
    assert document["textDocument"] == {"uri": uri, "version": 2}
    (change,) = document["edits"]
    client.change(uri, 3, {"range": change["range"], "text": change["newText"]})
    # The same answer is not offered again for the same text, whatever its version.
    other = client.request("codeAction/resolve", quick_fix(client, uri, TYPO)).get("edit")
    assert other is None or applied(BEFORE, other) != AFTER


@pytest.mark.parametrize("choice", ["Keep it", None])
def test_the_person_can_keep_it(client: LspClient, answers: Answers, choice: str | None) -> None:
    answers.set({"return a.": "length"})
    uri = f"file:///{choice}.js"
    repaired(client, uri)
    answered(client, uri, choice)
    assert actions(client, uri, TYPO)
    assert uri not in str(client.notifications("workspace/applyEdit"))


def test_a_text_that_has_gone_on_is_not_taken_back(client: LspClient, answers: Answers) -> None:
    answers.set({"return a.": "length"})
    uri = "file:///on.js"
    repaired(client, uri)
    client.wait(lambda message: message.get("method") == "window/showMessageRequest")
    client.change(uri, 3, insert(0, 0, "// more\n"))
    answered(client, uri, "Undo the repair")
    client.notification("window/showMessage", lambda params: "has changed since" in params["message"])


@pytest.mark.parametrize("params", [None, 3, {}, {"uri": 3, "diagnostics": []}, {"uri": "file:///a", "diagnostics": 3}])
def test_a_report_that_is_none_changes_nothing(client: LspClient, params: Any) -> None:
    client.notify("diffill/diagnostics", params)
    client.notify("diffill/diagnostics", {"uri": "file:///not-open.js", "diagnostics": [TYPO]})
    assert client.request("workspace/executeCommand", {"command": "diffill.status"})["state"] == "ready"
    assert "Traceback" not in client.stderr
