from __future__ import annotations

import asyncio
import sys

import pytest

from diffill.cli.editor_session import EditorSession, ServerError
from tests.command_line import fake_engine


def use(session: EditorSession) -> None:
    async def enter() -> None:
        async with session:
            await session.wait_ready()

    asyncio.run(enter())


def test_an_edit_changes_what_is_completed() -> None:
    async def edit(environment: dict[str, str]) -> tuple[list[str], list[str]]:
        async with EditorSession(environment=environment) as session:
            await session.wait_ready()
            session.open("file:///a.py", "python", "total = \n")
            first = await session.inline_completion("file:///a.py", (0, 8))
            session.change("file:///a.py", (0, 8), (0, 8), "count + ")
            second = await session.inline_completion("file:///a.py", (0, 16))
            session.close("file:///a.py")
        assert [item.start for item in first] == [(0, 8)]
        return [item.text for item in first], [item.text for item in second]

    with fake_engine(answer="number") as environment:
        first, second = asyncio.run(edit(environment))
    assert (first, second) == (["number"], ["number"])


def test_a_server_that_ends_says_its_last_words() -> None:
    command = (sys.executable, "-c", "import sys; sys.exit('no such thing')")
    with pytest.raises(ServerError, match="ended"):
        use(EditorSession(command=command))


def test_a_server_that_writes_something_else() -> None:
    command = (sys.executable, "-c", "print('Content-Length: none\\r\\n\\r\\n', flush=True); input()")
    with pytest.raises(ServerError, match="not a message"):
        use(EditorSession(command=command))


def test_an_engine_that_fails_is_reported() -> None:
    with (
        fake_engine(load_error="checkpoint: it is gone") as environment,
        pytest.raises(ServerError, match="it is gone"),
    ):
        use(EditorSession(environment=environment))
