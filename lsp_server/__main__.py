"""`python -m diffill.lsp_server`: the language server on standard input and output."""

from __future__ import annotations

import sys

if __name__ == "__main__" and not getattr(sys.flags, "safe_path", False):
    # `python -m` looks for modules in the working directory first: there the user's own `numpy.py` would be imported.
    del sys.path[0]

import asyncio
import logging
import os
import threading

from .client_log import silence_pygls
from .connection import serve_stdio, serve_tcp
from .server import create_server

EXIT_SECONDS = 1.0


def run(address: tuple[str, int] | None = None) -> int:
    """Serve one connection, over TCP when an address is given. Returns the exit status: 0 after `shutdown`, else 1."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    silence_pygls()
    return asyncio.run(_serve(address))


async def _serve(address: tuple[str, int] | None) -> int:
    server = create_server()
    if address is None:
        await serve_stdio(server.protocol)
    else:
        await serve_tcp(server.protocol, *address, on_listening=_announce)
    status = server.protocol.exit_code
    # The editor waits for us to be gone. Whatever still hangs then, a thread or the engine's socket, is left behind.
    deadline = threading.Timer(EXIT_SECONDS, os._exit, (status,))
    deadline.daemon = True
    deadline.start()
    await server.close()
    return status


def _announce(port: int) -> None:
    print(f"listening on port {port}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(run())
