"""What is asked of clients that tell of changes only to whoever registered for them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from lsprotocol import types
from pygls.exceptions import JsonRpcException

if TYPE_CHECKING:
    from pygls.lsp.server import LanguageServer

log = logging.getLogger(__name__)

ANSWER_SECONDS = 5.0
_IGNORE_FILES = "**/{.gitignore,.diffillignore}"


async def register(server: LanguageServer) -> None:
    """Register for changes of the settings and of the ignore files, where the client lets us."""
    workspace = server.client_capabilities.workspace
    if workspace is None:
        return
    wanted = []
    if workspace.did_change_configuration is not None and workspace.did_change_configuration.dynamic_registration:
        settings = types.DidChangeConfigurationRegistrationOptions(section="diffill")
        wanted.append(_registration(types.WORKSPACE_DID_CHANGE_CONFIGURATION, settings))
    if workspace.did_change_watched_files is not None and workspace.did_change_watched_files.dynamic_registration:
        files = types.DidChangeWatchedFilesRegistrationOptions(
            watchers=[types.FileSystemWatcher(glob_pattern=_IGNORE_FILES)]
        )
        wanted.append(_registration(types.WORKSPACE_DID_CHANGE_WATCHED_FILES, files))
    if not wanted:
        return
    params = types.RegistrationParams(registrations=wanted)
    try:
        await asyncio.wait_for(server.client_register_capability_async(params), timeout=ANSWER_SECONDS)
    except (JsonRpcException, asyncio.TimeoutError):
        log.warning("the client did not register for changes of settings and ignore files")


def _registration(method: str, options: object) -> types.Registration:
    return types.Registration(id=f"diffill {method}", method=method, register_options=options)
