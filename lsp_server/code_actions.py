"""`Fix this`, rewrites and bodies: offered at once, worked out when chosen, the same for actions and commands."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from lsprotocol import types
from msgspec.structs import replace
from pygls.exceptions import JsonRpcContentModified, JsonRpcException, JsonRpcInvalidParams

from diffill.model.client import EngineError

from .applied_repairs import AppliedRepairs, Doubt, Said, read_report
from .context import Problem
from .documents import Document, Edit
from .ignored import path_of
from .recent_changes import Change
from .repair.fault import Fault
from .repair.hunks import hunks
from .repair.other_files import changed_name, renamed_definition
from .repair.proposals import Model
from .repair.repair import MAX_CHARACTERS, Attempt, Repair, complete_body, repair, rewrite
from .repair.same_change import same_change
from .repair.sites import may_be_due
from .repair.stub import looks_like_stub
from .session import RepairOutcome, Session
from .tasks import Kind, Position, Range, Task, wire
from .workspace_edits import EditSupport, text_edits, workspace_edit
from .workspace_files import files_with

log = logging.getLogger(__name__)

MAX_FIXES = 8
"""Diagnostics that get an action; a list of more is not read."""
MAX_LINE = 400
"""Characters of a line that are looked at."""
MAX_REMEMBERED = 32
MAX_OTHERS = 20
"""Open documents that are looked through for the same change."""
ASK = "diffill.askInstruction"
"""A command of the client: it asks the person for an instruction and sends `diffill.rewrite`."""
KINDS: dict[Kind, types.CodeActionKind] = {
    "fix": types.CodeActionKind.QuickFix,
    "rewrite": types.CodeActionKind.RefactorRewrite,
    "completeBody": types.CodeActionKind.RefactorRewrite,
    "nextEdit": types.CodeActionKind.RefactorRewrite,
}


@dataclass(frozen=True, kw_only=True)
class ActionSupport:
    """What the client understands of a code action."""

    resolves: bool
    prefers: bool
    tags: bool
    disables: bool
    asks: bool
    """It has the command `diffill.askInstruction`, and says so in `experimental.commands.commands`."""

    @classmethod
    def of(cls, capabilities: types.ClientCapabilities) -> ActionSupport:
        action = capabilities.text_document.code_action if capabilities.text_document is not None else None
        if action is None:
            return cls(resolves=False, prefers=False, tags=False, disables=False, asks=False)
        resolve, tags = action.resolve_support, action.tag_support
        return cls(
            resolves=bool(action.data_support) and resolve is not None and "edit" in resolve.properties,
            prefers=bool(action.is_preferred_support),
            tags=tags is not None and types.CodeActionTag.LlmGenerated in tags.value_set,
            disables=bool(action.disabled_support),
            asks=ASK in _own_commands(capabilities.experimental),
        )


class CodeActions:
    """The actions of one connection. `offer` asks no model; `work` does, and remembers what it found."""

    def __init__(self, session: Session, capabilities: types.ClientCapabilities) -> None:
        self._session = session
        self._support = ActionSupport.of(capabilities)
        self._edit_support = EditSupport.of(capabilities)
        self._changes = session.context.changes
        self._found: OrderedDict[Task, Repair | None] = OrderedDict()
        self.applied = AppliedRepairs(documents=session.documents)
        session.on_close.append(self.applied.close)

    def offer(self, params: types.CodeActionParams) -> list[types.CodeAction]:
        """What can be tried in a range, from what the client sent and the lines there alone."""
        document = self._session.documents.get(params.text_document.uri)
        if document is None or not self._session.may_offer(document):
            return []
        tasks: list[tuple[Task, types.Diagnostic | None]] = []
        for diagnostic in params.context.diagnostics[:MAX_FIXES]:
            if diagnostic.message.strip():
                tasks.append((_fix(document, diagnostic), diagnostic))
        chosen = params.range
        said = [Problem(line=found.range.start.line, message=found.message) for found in params.context.diagnostics]
        lines = (chosen.start.line, chosen.end.line)
        self._session.context.note_problems(document, lines, said[:MAX_FIXES])
        self.applied.asked(document.uri, lines, [_said(found) for found in params.context.diagnostics])
        start, end = document.line_span(chosen.start.line)
        line = document.content.slice(start, min(end, start + MAX_LINE))
        place = Task(uri=document.uri, version=document.version, range=_range(chosen))
        if chosen.start != chosen.end:
            tasks.append((replace(place, kind="rewrite", instruction=_comment(line)), None))
        if looks_like_stub(line):
            tasks.append((replace(place, kind="completeBody"), None))
        change = self._changes.latest(document)
        if change is not None and len(document.content) <= MAX_CHARACTERS and self._may_be_due(document, change):
            tasks.append((replace(place, kind="nextEdit"), None))
        actions = [self._action(task, diagnostic) for task, diagnostic in tasks]
        # Offered wherever the cursor is, it would keep the light bulb lit for ever.
        if self._support.asks and params.context.trigger_kind != types.CodeActionTriggerKind.Automatic:
            actions.append(_asking(place))
        wanted = params.context.only
        return [action for action in actions if wanted is None or any(_is_kind(action.kind, kind) for kind in wanted)]

    def told(self, params: object) -> None:
        """The client says what its tools report about a document.

        Raises:
            JsonRpcInvalidParams: it does not; the message names the member.
        """
        report = read_report(params)
        self.applied.told(report.uri, report.diagnostics)
        document = self._session.documents.get(report.uri)
        if document is not None:
            said = [Problem(line=one.range.start.line, message=one.message) for one in report.diagnostics]
            self._session.context.note_problems(document, (0, document.content.line_count), said)

    def _may_be_due(self, document: Document, change: Change) -> bool:
        """Whether a change may be due elsewhere, here or in an open file that the person worked on."""
        if may_be_due(document.text, change):
            return True
        if not renamed_definition(document.text, change):
            return False
        others = islice((other for other in self._session.documents if other.uri != document.uri), MAX_OTHERS)
        return any(other.language == document.language and change.old in other.text for other in others)

    def _action(self, task: Task, diagnostic: types.Diagnostic | None) -> types.CodeAction:
        action = types.CodeAction(
            title=task.title,
            kind=KINDS[task.kind],
            diagnostics=[diagnostic] if diagnostic is not None else None,
            tags=[types.CodeActionTag.LlmGenerated] if self._support.tags else None,
        )
        if self._support.resolves:
            action.data = wire(task)
        else:
            action.command = types.Command(title=task.title, command=f"diffill.{task.kind}", arguments=[wire(task)])
        if task in self._found:
            found = self._found[task]
            if found is None and self._support.disables:
                action.disabled = types.CodeActionDisabled(reason="no safe fix found")
            elif found is not None and found.verified and self._support.prefers:
                action.is_preferred = True
        return action

    def snapshot(self, task: Task) -> Document:
        """The document that `task` is for.

        Raises:
            JsonRpcInvalidParams: it is not open.
            JsonRpcContentModified: it is another version by now.
        """
        document = self._session.documents.get(task.uri)
        if document is None:
            raise JsonRpcInvalidParams("uri: the document is not open")
        if task.version is not None and task.version != document.version:
            raise JsonRpcContentModified("the document has changed; ask again")
        return Document(uri=task.uri, language=document.language, version=document.version, text=document.text)

    @property
    def are_ready(self) -> bool:
        """Whether the model is loaded."""
        return self._session.engine.ready() is not None

    async def work(
        self, task: Task, document: Document, on_attempt: Callable[[Attempt], None] = lambda attempt: None
    ) -> Repair | None:
        """The repair that `task` asks for, or None when there is no safe one.

        Raises:
            JsonRpcException: the engine cannot answer, or the document changed meanwhile; one line to show.
        """
        task = replace(task, version=document.version)
        if task not in self._found:
            began = time.monotonic()
            found = self._found[task] = await self._decode(task, document, on_attempt)
            outcome: RepairOutcome = "none" if found is None else "verified" if found.verified else "not verified"
            for listener in self._session.on_repair:
                listener(document.language, task.kind, time.monotonic() - began, outcome)
            while len(self._found) > MAX_REMEMBERED:
                self._found.popitem(last=False)
        current = self._session.documents.get(task.uri)
        if current is None or current.version != document.version:
            raise JsonRpcContentModified("the document has changed; ask again")
        found = self._found[task]
        for there in found.elsewhere if found is not None else ():
            opened = self._session.documents.get(there.document.uri)
            if (opened.version if opened is not None else 0) != there.document.version:
                del self._found[task]
                raise JsonRpcContentModified("another document has changed; ask again")
        if task.kind == "fix" and found is not None:
            self.applied.handed_out(task, document, found)
        return found

    async def _decode(self, task: Task, document: Document, on_attempt: Callable[[Attempt], None]) -> Repair | None:
        ready = await self._session.engine.when_ready()
        if ready is None:
            reason = self._session.engine.readiness.message
            raise JsonRpcException(f"the model cannot be had: {reason}", _FAILED)
        engine, tokenizer = ready
        settings = self._session.settings
        model = Model(engine=engine, tokenizer=tokenizer, mode=settings.mode, guided=settings.syntax_guidance)
        encoding = self._session.encoding
        start = document.offset_at(task.range.start.line, task.range.start.character, encoding)
        end = document.offset_at(task.range.end.line, task.range.end.character, encoding)
        start, end = min(start, end), max(start, end)
        try:
            if task.kind == "nextEdit":
                change = self._changes.latest(document)
                if change is None:
                    return None
                others, roots = await self._other_files(document, changed_name(document, change))
                return await same_change(document, change, model, others=others, roots=roots, on_attempt=on_attempt)
            if task.kind == "completeBody":
                return await complete_body(document, start, model, on_attempt=on_attempt)
            fault = Fault(
                start=start,
                end=end,
                code=task.code,
                message=task.instruction if task.kind == "rewrite" else task.message,
                source="" if task.kind == "rewrite" else task.source or "the tool",
                unnecessary=task.unnecessary,
            )
            if task.kind == "rewrite":
                return await rewrite(document, fault, model, on_attempt=on_attempt)
            refused = self.applied.refused(document.uri)
            return await repair(document, fault, model, refused=refused, on_attempt=on_attempt)
        except EngineError as error:
            log.warning("no repair: %s: %s", error.code, error.message)
            raise JsonRpcException(f"the engine did not answer: {error.code}", _FAILED) from None

    async def _other_files(self, document: Document, name: str) -> tuple[list[Document], list[Path]]:
        """The other files in which a change may be due, and the folders of modules.

        Open ones; and, where others may import what was changed, all of the workspace that hold its name.
        """
        context = self._session.context
        others = [other for other in self._session.documents if other.uri != document.uri]
        others = [other for other in others if other.language == document.language and context.may_show(other)]
        snapshots = [self.snapshot(Task(uri=other.uri, range=NOWHERE)) for other in others[:MAX_OTHERS]]
        path = path_of(document.uri)
        rules = context.rules(path) if path is not None and self._session.folders else []
        left_out = {known for other in self._session.documents if (known := path_of(other.uri)) is not None}
        for rule in rules if name else []:
            snapshots += await asyncio.to_thread(files_with, name, document.language, rule, left_out)
        return snapshots, [root for rule in rules for root in (rule.root, rule.root / "src")]

    def edit(self, task: Task, document: Document, found: Repair) -> types.WorkspaceEdit:
        """What the editor applies."""
        return workspace_edit(
            document, found, title=task.title, encoding=self._session.encoding, support=self._edit_support
        )

    def undo(self, doubt: Doubt) -> types.WorkspaceEdit | None:
        """What takes a repair back; None when the text has changed since."""
        document = self._session.documents.get(doubt.task.uri)
        if document is None or document.text != doubt.text:
            return None
        back = Repair(edits=hunks(doubt.text, doubt.before), text=doubt.before, verified=True, note="")
        return workspace_edit(
            self.snapshot(replace(doubt.task, version=document.version)),
            back,
            title="Undo",
            encoding=self._session.encoding,
            support=EditSupport(versions=self._edit_support.versions, annotations=False),
        )

    def text_edits(self, document: Document, edits: list[Edit]) -> list[types.TextEdit]:
        """The edits alone."""
        return text_edits(document, edits, self._session.encoding)


NOWHERE = Range(start=Position(line=0, character=0), end=Position(line=0, character=0))
_FAILED = types.LSPErrorCodes.RequestFailed.value


def _fix(document: Document, diagnostic: types.Diagnostic) -> Task:
    return Task(
        uri=document.uri,
        version=document.version,
        range=_range(diagnostic.range),
        code="" if diagnostic.code is None else str(diagnostic.code),
        message=diagnostic.message,
        source=diagnostic.source or "",
        unnecessary=types.DiagnosticTag.Unnecessary in (diagnostic.tags or ()),
    )


def _said(found: types.Diagnostic) -> Said:
    return Said(
        range=_range(found.range), message=found.message, source=found.source, code=found.code, severity=found.severity
    )


def _asking(place: Task) -> types.CodeAction:
    return types.CodeAction(
        title="Rewrite with an instruction…",
        kind=types.CodeActionKind.RefactorRewrite,
        command=types.Command(title="Rewrite", command=ASK, arguments=[wire(replace(place, kind="rewrite"))]),
    )


def _range(given: types.Range) -> Range:
    return Range(
        start=Position(line=given.start.line, character=given.start.character),
        end=Position(line=given.end.line, character=given.end.character),
    )


def _comment(line: str) -> str:
    """The words of a line that is nothing but a comment: an instruction that every editor can give."""
    stripped = line.strip()
    mark = next((mark for mark in ("#", "//", "--") if stripped.startswith(mark)), None)
    return stripped[len(mark) :].strip() if mark is not None else ""


def _is_kind(kind: str | None, wanted: str) -> bool:
    """Whether `kind` is `wanted` or a part of it, as `refactor.rewrite` is of `refactor`."""
    return kind is not None and (wanted == "" or kind == wanted or kind.startswith(f"{wanted}."))


def _own_commands(experimental: object) -> list[object]:
    """As several servers have it: `experimental: {"commands": {"commands": [...]}}`."""
    commands = experimental.get("commands") if isinstance(experimental, dict) else None
    names = commands.get("commands") if isinstance(commands, dict) else None
    return names if isinstance(names, list) else []
