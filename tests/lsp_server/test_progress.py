"""Progress bars of the server: tokens of their own, forgotten at the end."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

from diffill.lsp_server.progress import ProgressBar
from diffill.lsp_server.server import create_server


class Writer:
    """Collects messages; each is written whole."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def write(self, data: bytes) -> None:
        self.messages.append(json.loads(data.partition(b"\r\n\r\n")[2]))

    def close(self) -> None: ...


def test_two_bars_one_after_the_other() -> None:
    async def scenario() -> None:
        server, writer = create_server(), Writer()
        server.protocol.set_writer(writer)
        tokens = []
        for _ in range(2):
            writer.messages.clear()
            bar = ProgressBar(server.work_done_progress, "Loading")
            bar.report(10, "early")
            await asyncio.sleep(0)
            (create,) = writer.messages
            answer = {"jsonrpc": "2.0", "id": create["id"], "result": None}
            server.protocol.handle_message(server.protocol.structure_message(answer))
            for _ in range(10):
                await asyncio.sleep(0)
            bar.report(50, "half")
            bar.report(50, "half")
            await bar.close("done")
            values = [message["params"]["value"] for message in writer.messages[1:]]
            assert [value["kind"] for value in values] == ["begin", "report", "end"]
            assert [value.get("percentage") for value in values] == [10, 50, None]
            assert not server.work_done_progress.tokens
            tokens.append(create["params"]["token"])
        assert len({uuid.UUID(token) for token in tokens}) == 2

    asyncio.run(scenario())
