"""The language server: which message is answered by which part. Handlers convert, call and convert back."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from collections.abc import Coroutine
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer
from pygls.protocol import default_converter

from .client_log import ClientLogHandler
from .parent import watch_parent
from .progress import ProgressBar
from .protocol import Protocol

if TYPE_CHECKING:
    from diffill.model.tokenizer import Tokenizer

    from .inline_completion import InlineCompletions
    from .warm_engine import Client, Readiness, WarmEngine

log = logging.getLogger(__name__)
STATUS = "diffill/status"
"""Notification to the client: `{"state": "loading" | "ready" | "failed", "percentage": 0 to 100, "message": string}`.

Sent when the state or the progress of loading changes. `message` is one line to show: the step, the model, the reason.
"""
CLOSE_SECONDS = 0.5
SETTINGS_SECONDS = 5.0


class Server(LanguageServer):
    """One connection's state. What needs the engine exists from `initialized` on; `initialize` is answered without."""

    protocol: Protocol

    def __init__(self) -> None:
        super().__init__("diffill", version("diffill"), protocol_cls=Protocol, converter_factory=default_converter)
        self.completions: InlineCompletions | None = None
        self._engine: WarmEngine | None = None
        self._bar: ProgressBar | None = None
        self._log_handler = ClientLogHandler(self.window_log_message)
        self._options: object = None
        self._reported: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def report_server_error(self, error: Exception, source: Any) -> None:
        """One line in the log: what was raised and where. pygls would open a popup with the exception's text."""
        cause = sys.exc_info()[1] or error  # pygls calls this while it handles the exception
        places = traceback.extract_tb(cause.__traceback__)
        place = f" at {Path(places[-1].filename).name}:{places[-1].lineno}" if places else ""
        log.error("%s%s", type(cause).__name__, place)

    def initialize(self, params: types.InitializeParams) -> None:
        """Note what is needed later."""
        self._options = params.initialization_options
        logging.getLogger("diffill").addHandler(self._log_handler)
        if params.process_id is not None:
            self._in_background(watch_parent(params.process_id, self.protocol.ended.set))

    async def initialized(self) -> None:
        """Read the settings and attach to the engine."""
        # Here and not above: these import numpy, which would delay the answer to `initialize`.
        from .inline_completion import InlineCompletions
        from .warm_engine import WarmEngine

        engine = WarmEngine(self._connect, self._on_readiness)
        self._engine = engine
        self.completions = InlineCompletions(self.protocol.documents, engine, self.protocol.encoding)
        self._apply_settings(self._options)
        await self.pull_settings()
        engine.start()

    async def pull_settings(self) -> None:
        """Ask the client for the section `diffill`, if it can be asked."""
        workspace = self.client_capabilities.workspace
        if workspace is None or not workspace.configuration:
            return
        params = types.ConfigurationParams(items=[types.ConfigurationItem(section="diffill")])
        try:
            answer = await asyncio.wait_for(self.workspace_configuration_async(params), timeout=SETTINGS_SECONDS)
        except (JsonRpcException, asyncio.TimeoutError):
            log.warning("the client did not answer workspace/configuration")
            return
        if answer and answer[0] is not None:
            self._apply_settings(answer[0])

    async def settings_changed(self, params: types.DidChangeConfigurationParams) -> None:
        """Take pushed settings, or ask for them where the client only says that something changed."""
        workspace = self.client_capabilities.workspace
        if workspace is not None and workspace.configuration:
            await self.pull_settings()
        elif isinstance(params.settings, dict):
            self._apply_settings(params.settings.get("diffill", {}))

    def _apply_settings(self, values: object) -> None:
        from .settings import read_settings

        if self.completions is None:
            return
        settings, problems = read_settings(values)
        self.completions.settings = settings
        logging.getLogger("diffill").setLevel(settings.log_level.upper())
        if news := [problem for problem in problems if problem not in self._reported]:
            self._reported.update(news)
            message = types.ShowMessageParams(type=types.MessageType.Warning, message="; ".join(news))
            self.window_show_message(message)

    def _connect(self) -> tuple[Client, Tokenizer]:
        from diffill.model.client import EngineClient, EngineSettings
        from diffill.model.tokenizer import Tokenizer

        device = self.completions.settings.device if self.completions else ""
        settings = EngineSettings.from_environment(device=device or None)
        return EngineClient(settings), Tokenizer.load(settings.checkpoint)

    def _on_readiness(self, readiness: Readiness) -> None:
        params = {"state": readiness.state, "percentage": readiness.percentage, "message": readiness.message}
        self.protocol.notify(STATUS, params)
        window = self.client_capabilities.window
        if readiness.state == "loading":
            if self._bar is None and window is not None and window.work_done_progress:
                self._bar = ProgressBar(self.work_done_progress, "Loading the code model")
            if self._bar is not None:
                self._bar.report(readiness.percentage, readiness.message)
        elif self._bar is not None:
            self._in_background(self._bar.close(readiness.message))
            self._bar = None

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop what is going on. A hanging engine is not waited for."""
        logging.getLogger("diffill").removeHandler(self._log_handler)
        for task in self._tasks:
            task.cancel()
        if self.completions is not None:
            self.completions.cancel_all()
        if self._engine is not None:
            await asyncio.wait({asyncio.ensure_future(self._engine.close())}, timeout=CLOSE_SECONDS)


def create_server() -> Server:
    """A server with its handlers: coroutines, or done at once. None is a pygls thread, which cannot be cancelled."""
    server = Server()

    @server.feature(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        server.initialize(params)

    @server.feature(types.INITIALIZED)
    async def initialized(params: types.InitializedParams) -> None:
        await server.initialized()

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def did_change_configuration(params: types.DidChangeConfigurationParams) -> None:
        await server.settings_changed(params)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE, types.SaveOptions(include_text=False))
    def did_save(params: types.DidSaveTextDocumentParams) -> None:
        """The text is known from the edits; registered because clients expect to be told that saves are welcome."""

    # Without options pygls does not advertise the feature at all.
    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def inline_completion(params: types.InlineCompletionParams) -> types.InlineCompletionList | None:
        return await server.completions.answer(params) if server.completions else None

    return server
