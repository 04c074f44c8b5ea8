"""Every method through pytest-lsp, a client of others that reads all answers into the specification's types."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from lsprotocol import types
from pytest_lsp import LanguageClient, client_capabilities
from pytest_lsp.client import make_test_lsp_client

from tests.engine_process import FAKE_ENGINE, private_directory, processes_in
from tests.fake_answers import Answers
from tests.lsp_client import HANG_GUARD_SECONDS, SERVER

BROKEN = "def total(items):\n    return sum(itms)\n"
URI = "file:///independent.py"


def served(answers: Answers, scenario: Callable[[LanguageClient], Awaitable[None]]) -> None:
    """Run a scenario with a client whose server is initialized and ready."""

    async def run(runtime: Path) -> None:
        client = make_test_lsp_client()
        ready = asyncio.Event()

        def status(params: Any) -> None:
            if params.state == "ready":
                ready.set()

        client.feature("diffill/status")(status)
        environment = {
            "DIFFILL_RUNTIME_DIR": str(runtime),
            "DIFFILL_ENGINE_COMMAND": shlex.join(FAKE_ENGINE),
            "DIFFILL_FAKE_TABLE": str(answers.path),
            "DIFFILL_FAKE_ANSWER": "",
        }
        await client.start_io(*SERVER, env={**os.environ, **environment})
        capabilities = client_capabilities("visual-studio-code")
        assert capabilities.text_document is not None
        capabilities.text_document.inline_completion = types.InlineCompletionClientCapabilities()
        await client.initialize_session(types.InitializeParams(capabilities=capabilities, process_id=os.getpid()))
        await asyncio.wait_for(ready.wait(), HANG_GUARD_SECONDS)
        try:
            await asyncio.wait_for(scenario(client), HANG_GUARD_SECONDS)
        finally:
            await client.shutdown_session()
            await client.stop()  # type: ignore[no-untyped-call]

    with private_directory() as runtime:
        try:
            asyncio.run(run(runtime))
        finally:
            for engine in processes_in(str(runtime)):
                engine.kill()


def opened(client: LanguageClient, text: str) -> types.TextDocumentIdentifier:
    item = types.TextDocumentItem(uri=URI, language_id="python", version=1, text=text)
    client.text_document_did_open(types.DidOpenTextDocumentParams(text_document=item))
    return types.TextDocumentIdentifier(uri=URI)


def range_of(line: int, start: int, end: int) -> types.Range:
    return types.Range(start=types.Position(line, start), end=types.Position(line, end))


def test_inline_completion_from_opening_to_closing(answers: Answers) -> None:
    answers.set({"x = ": "1", "y = ": "2"})

    async def scenario(client: LanguageClient) -> None:
        document = opened(client, "x = ")
        identity = types.VersionedTextDocumentIdentifier(uri=URI, version=2)
        change = types.TextDocumentContentChangePartial(range=range_of(0, 0, 1), text="y")
        client.text_document_did_change(types.DidChangeTextDocumentParams(identity, [change]))
        command = None
        for kind in types.InlineCompletionTriggerKind:
            found = await client.text_document_inline_completion_async(
                types.InlineCompletionParams(
                    context=types.InlineCompletionContext(trigger_kind=kind),
                    text_document=document,
                    position=types.Position(0, 4),
                )
            )
            assert isinstance(found, types.InlineCompletionList)
            command = found.items[0].command
            assert [(item.insert_text, item.range) for item in found.items] == [("2", range_of(0, 4, 4))]
        assert command is not None
        await client.workspace_execute_command_async(types.ExecuteCommandParams(command.command, command.arguments))
        client.text_document_did_save(types.DidSaveTextDocumentParams(text_document=document))
        client.text_document_did_close(types.DidCloseTextDocumentParams(text_document=document))

    served(answers, scenario)


def test_actions_and_commands(answers: Answers) -> None:
    answers.set({"sum(": "items"})

    async def scenario(client: LanguageClient) -> None:
        document = opened(client, BROKEN)
        fault = types.Diagnostic(range=range_of(1, 15, 19), message="Undefined name `itms`", code="F821", source="Ruff")
        offered = await client.text_document_code_action_async(
            types.CodeActionParams(
                text_document=document,
                range=fault.range,
                context=types.CodeActionContext(diagnostics=[fault]),
                partial_result_token="all comes at once",
                work_done_token="in no time",
            )
        )
        assert offered is not None
        action = offered[0]
        assert isinstance(action, types.CodeAction) and list(action.diagnostics or []) == [fault]
        resolved = await client.code_action_resolve_async(action)
        assert resolved.edit is not None and resolved.edit.document_changes is not None
        (change,) = resolved.edit.document_changes
        assert isinstance(change, types.TextDocumentEdit) and change.text_document.version == 1
        status = await client.workspace_execute_command_async(types.ExecuteCommandParams("diffill.status"))
        assert isinstance(status, dict) and status["state"] == "ready"

    served(answers, scenario)


def test_settings_and_folders_change(answers: Answers) -> None:
    answers.set({"x = ": "1"})

    async def scenario(client: LanguageClient) -> None:
        document = opened(client, "x = ")
        client.workspace_did_change_configuration(types.DidChangeConfigurationParams(settings={"diffill": {}}))
        folder = types.WorkspaceFolder(uri="file:///elsewhere", name="elsewhere")
        event = types.WorkspaceFoldersChangeEvent(added=[folder], removed=[])
        client.workspace_did_change_workspace_folders(types.DidChangeWorkspaceFoldersParams(event=event))
        watched = types.FileEvent(uri="file:///elsewhere/.gitignore", type=types.FileChangeType.Changed)
        client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams(changes=[watched]))
        context = types.InlineCompletionContext(trigger_kind=types.InlineCompletionTriggerKind.Invoked)
        params = types.InlineCompletionParams(context, document, types.Position(0, 4))
        found = await client.text_document_inline_completion_async(params)
        assert isinstance(found, types.InlineCompletionList) and len(found.items) == 1

    served(answers, scenario)


def test_cells_of_a_notebook(answers: Answers) -> None:
    answers.set({"x = 1\n\ny = ": "2"})  # one empty line between cells

    async def scenario(client: LanguageClient) -> None:
        cells = [types.NotebookCell(types.NotebookCellKind.Code, f"cell:{number}") for number in (1, 2)]
        texts = [
            types.TextDocumentItem(f"cell:{number}", "python", 1, text) for number, text in ((1, "x = 1"), (2, "y"))
        ]
        notebook = types.NotebookDocument("file:///a.ipynb", "jupyter-notebook", 1, cells)
        client.notebook_document_did_open(types.DidOpenNotebookDocumentParams(notebook, texts))
        change = types.TextDocumentContentChangePartial(range=range_of(0, 1, 1), text=" = ")
        content = types.NotebookDocumentCellContentChanges(types.VersionedTextDocumentIdentifier(2, "cell:2"), [change])
        event = types.NotebookDocumentChangeEvent(cells=types.NotebookDocumentCellChanges(text_content=[content]))
        version = types.VersionedNotebookDocumentIdentifier(2, notebook.uri)
        client.notebook_document_did_change(types.DidChangeNotebookDocumentParams(version, event))
        context = types.InlineCompletionContext(types.InlineCompletionTriggerKind.Invoked)
        found = await client.text_document_inline_completion_async(
            types.InlineCompletionParams(context, types.TextDocumentIdentifier("cell:2"), types.Position(0, 4))
        )
        assert isinstance(found, types.InlineCompletionList)
        assert [item.insert_text for item in found.items] == ["2"]
        identity = types.NotebookDocumentIdentifier(notebook.uri)
        client.notebook_document_did_save(types.DidSaveNotebookDocumentParams(identity))
        closed = [types.TextDocumentIdentifier(cell.document) for cell in cells]
        client.notebook_document_did_close(types.DidCloseNotebookDocumentParams(identity, closed))

    served(answers, scenario)


def test_our_own_requests_and_notifications(answers: Answers) -> None:
    answers.set({"x = ": "1"})

    async def scenario(client: LanguageClient) -> None:
        document = opened(client, "x = ")
        client.protocol.notify("textDocument/didFocus", {"textDocument": {"uri": URI}})
        context = types.InlineCompletionContext(types.InlineCompletionTriggerKind.Invoked)
        found = await client.text_document_inline_completion_async(
            types.InlineCompletionParams(context, document, types.Position(0, 4))
        )
        assert isinstance(found, types.InlineCompletionList)
        client.protocol.notify("diffill/diagnostics", {"uri": URI, "diagnostics": []})
        item = {"insertText": found.items[0].insert_text, "command": {"arguments": found.items[0].command.arguments}}  # type: ignore[union-attr]
        client.protocol.notify("textDocument/didShowCompletion", {"item": item})
        client.protocol.notify("textDocument/didShowInlineEdit", {"item": {}})
        client.protocol.notify("textDocument/didPartiallyAcceptCompletion", {"item": item, "acceptedLength": 1})
        area = types.TextDocumentItem("file:///area.py", "python", 1, "def area(width):\n    return width\n")
        client.text_document_did_open(types.DidOpenTextDocumentParams(area))
        identity = types.VersionedTextDocumentIdentifier(uri=area.uri, version=2)
        renamed = types.TextDocumentContentChangePartial(range=range_of(0, 9, 14), text="wide")
        client.text_document_did_change(types.DidChangeTextDocumentParams(identity, [renamed]))
        place = {"textDocument": {"uri": area.uri, "version": 2}, "position": {"line": 0, "character": 13}}
        for method in ("diffill/nextEdit", "textDocument/copilotInlineEdit"):
            due = await client.protocol.send_request_async(method, place)  # type: ignore[no-untyped-call]
            assert [(edit.text, edit.range.start.line) for edit in due.edits] == [("wide", 1)]

    served(answers, scenario)


def test_a_trace_is_switched_and_a_progress_cancelled(answers: Answers) -> None:
    answers.set({"x = ": "1"})

    async def scenario(client: LanguageClient) -> None:
        told: list[types.LogTraceParams] = []
        client.feature(types.LOG_TRACE)(lambda params: told.append(params))
        document = opened(client, "x = ")
        context = types.InlineCompletionContext(types.InlineCompletionTriggerKind.Invoked)
        asked = types.InlineCompletionParams(context, document, types.Position(0, 4))
        for value, traces in ((types.TraceValue.Off, 0), (types.TraceValue.Messages, 1), (types.TraceValue.Off, 1)):
            client.set_trace(types.SetTraceParams(value))
            client.window_work_done_progress_cancel(types.WorkDoneProgressCancelParams("nobody's"))
            assert await client.text_document_inline_completion_async(asked) is not None
            assert len(told) == traces
        assert told[0].message.startswith("inline completion, invoked")

    served(answers, scenario)
