"""One connection of the language server: its start, its settings and its end."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import traceback
from collections.abc import Callable, Coroutine
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInternalError
from pygls.lsp.server import LanguageServer

from .client_log import ClientLogHandler
from .handlers import code_actions, inline_completion, lifecycle, service
from .parameters import converter
from .parent import watch_parent
from .progress import ProgressBar
from .protocol import Protocol
from .registration import register as register_for_changes
from .status import STATUS, Status

if TYPE_CHECKING:
    from diffill.model.tokenizer import Tokenizer

    from .session import Session
    from .warm_engine import Client, Readiness

log = logging.getLogger(__name__)
HANDLERS: tuple[Callable[[Server], None], ...] = (
    lifecycle.register,
    inline_completion.register,
    code_actions.register,
    service.register,
)
"""One line for each group of messages."""
CLOSE_SECONDS = 0.5
SETTINGS_SECONDS = 5.0


class Server(LanguageServer):
    """One connection's state. What needs the engine exists from `initialized` on; `initialize` is answered without."""

    protocol: Protocol

    def __init__(self) -> None:
        super().__init__(
            "diffill",
            version("diffill"),
            protocol_cls=Protocol,
            converter_factory=converter,
            notebook_document_sync=types.NotebookDocumentSyncOptions(
                notebook_selector=[types.NotebookDocumentFilterWithNotebook(notebook="*")]
            ),
        )
        self.session: Session | None = None
        self.on_session: list[Callable[[Session], None]] = []
        """Called once, before the first settings are applied: for parts that join the session."""
        self.status = Status(lambda params: self.protocol.notify(STATUS, params))
        self._bar: ProgressBar | None = None
        self._log_handler = ClientLogHandler(self.window_log_message)
        self._options: object = None
        self._client_name = ""
        self._folders: tuple[str, ...] = ()
        self._reported: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def report_server_error(self, error: Exception, source: Any) -> None:
        """One line in the log: what was raised and where. pygls would open a popup with the exception's text.

        A refusal is no error: whoever asked is told in the answer.
        """
        cause = sys.exc_info()[1] or error  # pygls calls this while it handles the exception
        places = traceback.extract_tb(cause.__traceback__)
        place = f" at {Path(places[-1].filename).name}:{places[-1].lineno}" if places else ""
        refused = isinstance(cause, JsonRpcException) and not isinstance(cause, JsonRpcInternalError)
        log.log(logging.INFO if refused else logging.ERROR, "%s%s", type(cause).__name__, place)

    def initialize(self, params: types.InitializeParams) -> None:
        """Note what is needed later."""
        self._options = params.initialization_options
        self.protocol.trace = params.trace or types.TraceValue.Off
        self._client_name = params.client_info.name if params.client_info else ""
        root = [params.root_uri] if params.root_uri else []
        self._folders = tuple([folder.uri for folder in params.workspace_folders or []] or root)
        self._log_handler.attach()
        if params.process_id is not None:
            self.in_background(watch_parent(params.process_id, self.protocol.ended.set))

    async def initialized(self) -> None:
        """Read the settings and attach to the engine."""
        # Here and not above: these import numpy, which would delay the answer to `initialize`.
        from .context import Context
        from .inline_completion import InlineCompletions
        from .session import Session
        from .warm_engine import WarmEngine

        engine = WarmEngine(self._connect, self._on_readiness)
        context = Context(self.protocol.documents, self._folders)
        completions = InlineCompletions(
            self.protocol.documents, engine, self.protocol.encoding, self.protocol.notebooks, context
        )
        self.session = Session(
            documents=self.protocol.documents,
            engine=engine,
            encoding=self.protocol.encoding,
            completions=completions,
            client_name=self._client_name,
            context=context,
            on_settings=[completions.take_settings],
            on_close=[completions.cancel_all],
        )
        for start in self.on_session:
            start(self.session)
        self._apply_settings(self._options)
        await self.pull_settings()
        engine.start()
        self.in_background(register_for_changes(self))

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

    def folders_changed(self, event: types.WorkspaceFoldersChangeEvent) -> None:
        """Keep the list of the workspace's folders."""
        removed = {folder.uri for folder in event.removed}
        kept = [uri for uri in self._folders if uri not in removed]
        self._folders = tuple(dict.fromkeys([*kept, *(folder.uri for folder in event.added)]))
        if self.session is not None:
            self.session.context.folders = self._folders

    def _apply_settings(self, values: object) -> None:
        from .settings import read_settings

        if self.session is None:
            return
        settings, problems = read_settings(values)
        self.session.apply(settings)
        if settings.context == "workspace":
            self.in_background(asyncio.to_thread(self.session.context.warm))
        logging.getLogger("diffill").setLevel(settings.log_level.upper())
        if news := [problem for problem in problems if problem not in self._reported]:
            self._reported.update(news)
            message = types.ShowMessageParams(type=types.MessageType.Warning, message="; ".join(news))
            self.window_show_message(message)

    def _connect(self) -> tuple[Client, Tokenizer]:
        from diffill.model.client import EngineClient, EngineSettings
        from diffill.model.hugging_face.layout import find_checkpoint
        from diffill.model.tokenizer import Tokenizer

        from .ignored import path_of
        from .settings import Settings

        chosen = self.session.settings if self.session else Settings()
        root = path_of(self._folders[0]) if self._folders else None
        settings = EngineSettings.from_environment(
            checkpoint=find_checkpoint(chosen.model) if chosen.model else None,
            device=chosen.device or None,
            place=root,
        )
        tokenizer = Tokenizer.load(settings.checkpoint)
        _ = tokenizer.ends_line  # takes 0.1 s, which nobody's first key should wait for
        gc.freeze()  # what is loaded by now stays: looking through it again and again would hold up keys
        return EngineClient(settings), tokenizer

    def _on_readiness(self, readiness: Readiness) -> None:
        chosen = self.session is not None and self.session.settings.device != ""
        self.status.take_readiness(readiness, device_is_chosen=chosen)
        window = self.client_capabilities.window
        if readiness.state == "loading":
            if self._bar is None and window is not None and window.work_done_progress:
                self._bar = ProgressBar(self.work_done_progress, "Loading the code model")
            if self._bar is not None:
                self._bar.report(readiness.percentage, readiness.message)
        elif self._bar is not None:
            self.in_background(self._bar.close(readiness.message))
            self._bar = None

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that nobody waits for; it is cancelled when the connection ends."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop what is going on. A hanging engine is not waited for."""
        self._log_handler.detach()
        for task in self._tasks:
            task.cancel()
        if self.session is not None:
            for listener in self.session.on_close:
                listener()
            await asyncio.wait({asyncio.ensure_future(self.session.engine.close())}, timeout=CLOSE_SECONDS)


def create_server() -> Server:
    """A server with its handlers: coroutines, or done at once. None is a pygls thread, which cannot be cancelled."""
    server = Server()
    for register in HANDLERS:
        register(server)
    return server
