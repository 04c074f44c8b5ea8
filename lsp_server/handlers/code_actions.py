"""Code actions, and the commands that do the same where an editor offers no actions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams, JsonRpcRequestCancelled

from ..parameters import plain
from ..progress import ProgressBar

if TYPE_CHECKING:
    from ..applied_repairs import Doubt
    from ..code_actions import CodeActions
    from ..documents import Document, Edit
    from ..repair.repair import Attempt, Repair
    from ..server import Server
    from ..session import Session
    from ..tasks import Kind, Task

INLINE_EDITS = ("diffill/nextEdit", "textDocument/copilotInlineEdit")
"""Requests for the next edits in place; the second is what existing plugins send."""
DIAGNOSTICS = "diffill/diagnostics"
"""Notification from the client: all that its tools report about a document now, `{"uri", "diagnostics"}`."""
UNDO, KEEP = "Undo the repair", "Keep it"
COMMANDS: tuple[Kind, ...] = ("fix", "rewrite", "completeBody", "nextEdit")
CANDIDATES_SHOWN = 40
"""The bar is full after so many candidates; there may be more."""
_OPTIONS = types.CodeActionOptions(
    code_action_kinds=[types.CodeActionKind.QuickFix, types.CodeActionKind.RefactorRewrite], resolve_provider=True
)


def register(server: Server) -> None:
    """Answer `textDocument/codeAction`, `codeAction/resolve` and the commands of the same names as the tasks."""
    parts: list[CodeActions] = []

    def start(session: Session) -> None:
        from ..code_actions import CodeActions

        part = CodeActions(session, server.client_capabilities)
        part.applied.on_doubt.append(lambda doubt: server.in_background(_offer_undo(server, part, doubt)))
        parts.append(part)

    server.on_session.append(start)

    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION, _OPTIONS)
    def code_action(params: types.CodeActionParams) -> list[types.CodeAction]:
        return parts[0].offer(params) if parts else []

    @server.feature(types.CODE_ACTION_RESOLVE)
    async def resolve(action: types.CodeAction) -> types.CodeAction:
        from ..tasks import read_task

        task = read_task(None, action.data)
        document, found = await _work(server, _only(parts), task)
        if found is not None:
            action.edit = _only(parts).edit(task, document, found)
            action.is_preferred = found.verified or None
        return action

    @server.feature(DIAGNOSTICS)
    def diagnostics(params: Any) -> None:
        if parts:
            parts[0].told(plain(params))

    def add_command(kind: Kind) -> None:
        @server.command(f"diffill.{kind}")
        async def command(*arguments: Any) -> dict[str, Any]:
            return await _command(server, _only(parts), kind, arguments)

    for kind in COMMANDS:
        add_command(kind)

    async def inline_edits(params: Any) -> dict[str, Any]:
        return await _inline_edits(_only(parts), params)

    for method in INLINE_EDITS:
        server.feature(method)(inline_edits)


async def _inline_edits(actions: CodeActions, params: Any) -> dict[str, Any]:
    """The next edits as an editor shows them in place: `{"edits": [{"text", "range", "textDocument"}], "elsewhere"}`.

    Those of other files are kept apart: plugins take all of `edits` to be for the document that they asked about.
    """
    from ..tasks import next_edit_task

    task = next_edit_task(plain(params))
    document = actions.snapshot(task)
    found = await actions.work(task, document) if actions.are_ready else None  # the editor asks, not the person
    if found is None:
        return {"edits": [], "elsewhere": []}
    others = [edit for there in found.elsewhere for edit in _in_place(actions, there.document, there.edits)]
    return {"edits": _in_place(actions, document, found.edits), "elsewhere": others}


def _in_place(actions: CodeActions, document: Document, edits: list[Edit]) -> list[dict[str, Any]]:
    identifier = {"uri": document.uri, "version": document.version or None}
    return [
        {"text": edit.new_text, "range": edit.range, "textDocument": identifier}
        for edit in actions.text_edits(document, edits)
    ]


async def _command(server: Server, actions: CodeActions, kind: Kind, arguments: tuple[Any, ...]) -> dict[str, Any]:
    """Work a task out and have the editor apply it. Answers `{"applied", "verified", "note"}`."""
    from ..tasks import read_task

    if len(arguments) != 1:
        raise JsonRpcInvalidParams("arguments: one object is expected")
    task = read_task(kind, arguments[0])
    document, found = await _work(server, actions, task)
    if found is None:
        return {"applied": False, "verified": False, "note": "no safe fix found"}
    params = types.ApplyWorkspaceEditParams(edit=actions.edit(task, document, found), label=task.title)
    workspace = server.client_capabilities.workspace
    if task.kind != "fix" and workspace and workspace.workspace_edit and workspace.workspace_edit.metadata_support:
        params.metadata = types.WorkspaceEditMetadata(is_refactoring=True)
    answer = await server.workspace_apply_edit_async(params)
    return {"applied": answer.applied, "verified": found.verified, "note": found.note}


async def _work(server: Server, actions: CodeActions, task: Task) -> tuple[Document, Repair | None]:
    """Look for the repair, with a bar that the person can stop; say so plainly when there is none."""
    document = actions.snapshot(task)
    bar: ProgressBar | None = None

    def report(attempt: Attempt) -> None:
        if bar is not None:
            bar.report(min(99, attempt.tried * 100 // CANDIDATES_SHOWN), f"candidate {attempt.tried}")

    search = asyncio.ensure_future(actions.work(task, document, report))
    window = server.client_capabilities.window
    if window is not None and window.work_done_progress:
        bar = ProgressBar(server.work_done_progress, task.title, on_cancel=search.cancel)
    outcome = "stopped"
    try:
        with server.status.working(task.title):
            await asyncio.wait({search})
        if search.cancelled():
            raise JsonRpcRequestCancelled("stopped in the progress bar")
        found = search.result()
        outcome = "" if found else "no safe fix found"
    except JsonRpcException as error:
        outcome = error.message
        raise
    finally:
        search.cancel()
        if bar is not None:
            server.in_background(bar.close(outcome))
    if found is None:
        message = types.ShowMessageParams(type=types.MessageType.Info, message=f"No safe fix found. {task.title}")
        server.window_show_message(message)
    return document, found


async def _offer_undo(server: Server, actions: CodeActions, doubt: Doubt) -> None:
    """A tool speaks against a repair that was applied: say so, and take it back if the person wants that."""
    choices = [types.MessageActionItem(title=UNDO), types.MessageActionItem(title=KEEP)]
    question = types.ShowMessageRequestParams(
        type=types.MessageType.Warning, message=f"After the repair {doubt.reason}", actions=choices
    )
    try:
        chosen = await server.window_show_message_request_async(question)
    except JsonRpcException:
        return  # the client asks no questions
    if chosen is None or chosen.title != UNDO:
        return
    edit = actions.undo(doubt)
    if edit is not None:
        await server.workspace_apply_edit_async(types.ApplyWorkspaceEditParams(edit=edit, label="Undo the repair"))
    else:
        said = "The text has changed since the repair: it was not taken back."
        server.window_show_message(types.ShowMessageParams(type=types.MessageType.Info, message=said))


def _only(parts: list[CodeActions]) -> CodeActions:
    if not parts:
        raise JsonRpcException("the server has not started yet", types.ErrorCodes.ServerNotInitialized.value)
    return parts[0]
