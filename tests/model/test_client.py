"""The client and real engine processes: started on demand, exactly one, restarted once when it dies."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from diffill.model.client import EngineClient, EngineError, EngineSettings, EngineStatus, RestartDelay
from diffill.model.request import DecodeRequest, Step, unpack_ids
from diffill.model.wire import Failed, encode_frame, read_frame
from tests.engine_process import FAKE_ENGINE, HANG_GUARD_SECONDS, LONG_ANSWER, private_directory, prompt, tokenizer

Test = Callable[[EngineClient], Coroutine[Any, Any, None]]


@pytest.fixture
def settings() -> Iterator[EngineSettings]:
    with private_directory() as directory:
        settings = EngineSettings(device="cpu", directory=directory / "run", command=FAKE_ENGINE, idle_seconds=60.0)
        yield settings
        run(settings, EngineClient.stop)


def run(settings: EngineSettings, work: Callable[[EngineClient], Coroutine[Any, Any, Any]]) -> Any:
    async def bounded() -> Any:
        client = EngineClient(settings)
        try:
            return await asyncio.wait_for(work(client), HANG_GUARD_SECONDS)
        finally:
            await client.close()

    return asyncio.run(bounded())


def request(text: str, **fields: Any) -> DecodeRequest:
    return DecodeRequest(prompt=prompt(text), **fields)


def long_request(text: str = "x", **fields: Any) -> DecodeRequest:
    return request(text, max_tokens=1024, **fields)


async def running_decode(client: EngineClient, ask: DecodeRequest) -> asyncio.Task[Any]:
    """A decode whose first step has arrived."""
    begun = asyncio.Event()
    task = asyncio.create_task(client.decode(ask, on_step=lambda step: begun.set()))
    await begun.wait()
    return task


async def pid(client: EngineClient) -> int:
    return (await client.wait_ready()).pid


def test_an_engine_is_started_on_demand_and_answers(settings: EngineSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFILL_FAKE_ANSWER", "return a + b\n")

    async def test(client: EngineClient) -> None:
        assert await client.status() is None
        steps: list[Step] = []
        result = await client.decode(request("def add(a, b):\n    "), on_step=steps.append)
        assert tokenizer().decode(unpack_ids(result.tokens)) == "return a + b\n"
        assert [step.forward_pass for step in steps] == list(range(1, result.forward_passes + 1))
        status = await client.status()
        assert status is not None and status.state == "ready" and status.requests == 1

    run(settings, test)


def test_the_engine_outlives_its_client_and_stops_when_told(settings: EngineSettings) -> None:
    first = run(settings, pid)
    assert os.getsid(first) == first  # a signal to the client's terminal does not reach it
    assert run(settings, pid) == first
    assert run(settings, EngineClient.stop) is True
    assert run(settings, EngineClient.stop) is False
    assert run(settings, EngineClient.status) is None
    assert run(settings, pid) != first


def test_status_and_stop_never_start_an_engine_nor_make_a_directory(settings: EngineSettings) -> None:
    assert run(settings, EngineClient.status) is None
    assert run(settings, EngineClient.stop) is False
    assert settings.directory is not None and not settings.directory.exists()


def test_eight_clients_at_once_share_one_engine(settings: EngineSettings) -> None:
    async def test(first: EngineClient) -> None:
        clients = [first, *(EngineClient(settings) for _ in range(7))]
        statuses = await asyncio.gather(*(client.wait_ready() for client in clients))
        assert len({status.pid for status in statuses}) == 1
        await asyncio.gather(*(client.decode(request("x")) for client in clients))
        status = await first.status()
        assert status is not None and status.requests == 8 and status.pid == statuses[0].pid
        await asyncio.gather(*(client.close() for client in clients[1:]))

    run(settings, test)


def test_many_requests_share_one_connection(settings: EngineSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    table = settings.runtime_directory().path.parent / "table.json"
    table.write_text('{"one =": " 1", "two =": " 2"}')
    monkeypatch.setenv("DIFFILL_FAKE_TABLE", str(table))

    async def test(client: EngineClient) -> None:
        results = await asyncio.gather(*(client.decode(request(text)) for text in ["one =", "two ="] * 10))
        assert [tokenizer().decode(unpack_ids(result.tokens)) for result in results] == [" 1", " 2"] * 10

    run(settings, test)


def test_loading_is_watched_until_ready(settings: EngineSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFILL_FAKE_LOAD_SECONDS", "0.5")

    async def test(client: EngineClient) -> None:
        seen: list[EngineStatus] = []
        final = await client.wait_ready(seen.append)
        assert seen[-1] is final and final.state == "ready" and final.model is not None
        progress = [status.progress for status in seen]
        assert seen[0].state == "loading" and progress == sorted(progress)

    run(settings, test)


def test_an_engine_killed_during_a_decode_is_restarted_and_the_request_repeated(
    settings: EngineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIFFILL_FAKE_ANSWER", "word " * 40)
    monkeypatch.setenv("DIFFILL_FAKE_DELAY", "0.02")

    async def test(client: EngineClient) -> None:
        restarts: list[int] = []
        first = await pid(client)
        client.on_restart = lambda: restarts.append(first)
        tasks = [await running_decode(client, long_request()), asyncio.create_task(client.decode(long_request()))]
        assert not restarts
        os.kill(first, signal.SIGKILL)
        for result in await asyncio.gather(*tasks):
            assert tokenizer().decode(unpack_ids(result.tokens)) == "word " * 40
        assert await pid(client) != first
        assert restarts == [first]

    run(settings, test)


@pytest.mark.parametrize("fault", ["KILL", "RAISE"])
def test_a_request_that_kills_the_engine_once_is_answered_by_the_next(
    settings: EngineSettings, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    once = settings.runtime_directory().path.parent / "once"
    once.write_text("")
    monkeypatch.setenv("DIFFILL_FAKE_ONCE", str(once))

    async def test(client: EngineClient) -> None:
        first = await pid(client)
        assert (await client.decode(request(fault))).finish == "eom"
        assert await pid(client) != first

    run(settings, test)


@pytest.mark.parametrize("fault", ["KILL", "RAISE"])
def test_a_request_that_kills_every_engine_is_given_up(settings: EngineSettings, fault: str) -> None:
    async def test(client: EngineClient) -> None:
        with pytest.raises(EngineError) as caught:
            await client.decode(request(f"SECRET {fault}"))
        assert caught.value.code == "engine_dead" and "SECRET" not in caught.value.message
        # No storm: a third process is not started before the delay is over.
        with pytest.raises(EngineError, match="keeps failing") as caught:
            await client.decode(request("x"))
        assert caught.value.code == "unavailable"

    run(settings, test)


def test_a_device_that_disappears_costs_no_request_and_no_process(settings: EngineSettings) -> None:
    """The GPU was the engine's own choice: the same process goes on on the CPU, and nobody is told of it but status."""

    async def test(client: EngineClient) -> None:
        before = await client.wait_ready()
        lost, other = await asyncio.gather(client.decode(request("LOSE")), client.decode(request("x")))
        assert lost.finish == other.finish == "eom"
        after = await client.wait_ready()
        assert (after.pid, after.state) == (before.pid, "ready")

    run(dataclasses.replace(settings, device="auto"), test)


@pytest.mark.parametrize(("fault", "code"), [("MEMORY", "busy"), ("NAN", "unavailable"), ("REFUSE", "bad_request")])
def test_what_is_wrong_with_one_request_disturbs_no_other(
    settings: EngineSettings, monkeypatch: pytest.MonkeyPatch, fault: str, code: str
) -> None:
    monkeypatch.setenv("DIFFILL_FAKE_ANSWER", LONG_ANSWER)
    monkeypatch.setenv("DIFFILL_FAKE_DELAY", "0.005")

    async def test(client: EngineClient) -> None:
        first = await pid(client)
        others = [await running_decode(client, long_request(trace=True, document=str(number))) for number in range(2)]
        with pytest.raises(EngineError) as caught:
            await client.decode(request(f"SECRET {fault}"))
        assert caught.value.code == code and "SECRET" not in caught.value.message
        assert [(await other).finish for other in others] == ["length", "length"]
        assert await pid(client) == first

    run(settings, test)


def test_cancelling_the_task_cancels_the_request(settings: EngineSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFILL_FAKE_ANSWER", LONG_ANSWER)
    monkeypatch.setenv("DIFFILL_FAKE_DELAY", "0.5")

    async def test(client: EngineClient) -> None:
        task = await running_decode(client, long_request())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # The one decoding thread is free again: the cancelled answer alone would have taken longer than the hang guard.
        task = await running_decode(client, long_request())
        task.cancel()
        await asyncio.wait([task])

    run(settings, test)


def test_a_start_survives_the_cancellation_of_the_request_that_caused_it(settings: EngineSettings) -> None:
    async def test(client: EngineClient) -> None:
        first = asyncio.create_task(client.decode(request("x")))
        second = asyncio.create_task(client.decode(request("x")))
        for _ in range(3):  # both wait for the one start now
            await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await second).finish == "eom"

    run(settings, test)


def test_a_newer_request_supersedes_the_older_one(settings: EngineSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFILL_FAKE_ANSWER", LONG_ANSWER)
    monkeypatch.setenv("DIFFILL_FAKE_DELAY", "0.05")

    async def test(client: EngineClient) -> None:
        older = await running_decode(client, long_request(document="a"))
        newer = asyncio.create_task(client.decode(long_request(document="a")))
        with pytest.raises(EngineError) as caught:
            await older
        assert caught.value.code == "superseded"
        newer.cancel()
        await asyncio.wait([newer])

    run(settings, test)


def test_what_the_engine_refuses_is_an_error_and_not_repeated(settings: EngineSettings) -> None:
    async def test(client: EngineClient) -> None:
        for bad in (request("REFUSE"), request("x", max_tokens=-1), DecodeRequest(prompt=b"\0" * (1 << 21))):
            with pytest.raises(EngineError) as caught:
                await client.decode(bad)
            assert caught.value.code == "bad_request"
        status = await client.status()
        assert status is not None and status.requests == 1

    run(settings, test)


def test_an_error_in_on_step_is_the_callers_own(settings: EngineSettings) -> None:
    def broken(step: Step) -> None:
        raise LookupError("mine")

    async def test(client: EngineClient) -> None:
        with pytest.raises(LookupError, match="mine"):
            await client.decode(request("x"), on_step=broken)
        await client.decode(request("x"))

    run(settings, test)


def test_a_failed_load_is_one_line(settings: EngineSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFILL_FAKE_LOAD_ERROR", "checkpoint: config.json is missing")

    async def test(client: EngineClient) -> None:
        for ask in (client.wait_ready, lambda: client.decode(request("x"))):
            with pytest.raises(EngineError) as caught:
                await ask()
            assert (caught.value.code, caught.value.message) == ("unavailable", "checkpoint: config.json is missing")

    run(settings, test)


@pytest.mark.parametrize(
    "command, line",
    [
        (("/nonexistent/engine",), "engine command: cannot run /nonexistent/engine"),
        ((sys.executable, "-c", "raise SystemExit('first\\nno such device')"), "no such device"),
        ((sys.executable, "-c", "raise SystemExit(3)"), "the engine ended with status 3"),
        ((*FAKE_ENGINE, "--stall-seconds", "-1"), "diffill engine: stall-seconds: -1.0 is not positive"),
    ],
    ids=["no command", "with a reason", "without a reason", "wrong argument"],
)
def test_an_engine_that_does_not_start_is_explained_in_one_line(
    settings: EngineSettings, command: tuple[str, ...], line: str
) -> None:
    async def test(client: EngineClient) -> None:
        with pytest.raises(EngineError) as caught:
            await client.wait_ready()
        assert caught.value.code == "unavailable"
        assert caught.value.message.startswith(line) and "\n" not in caught.value.message

    run(EngineSettings(directory=settings.directory, command=command), test)


def test_a_directory_that_is_not_private_is_refused(settings: EngineSettings) -> None:
    assert settings.directory is not None
    settings.directory.mkdir()
    settings.directory.chmod(0o755)

    async def test(client: EngineClient) -> None:
        for ask in (client.status, client.stop, client.wait_ready):
            with pytest.raises(EngineError, match="chmod 700") as caught:
                await ask()
            assert caught.value.code == "unavailable"

    run(settings, test)
    settings.directory.chmod(0o700)


def test_an_engine_of_another_version_is_reported_and_left_alone(settings: EngineSettings) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_frame(reader)
        writer.write(encode_frame(Failed(id=0, code="bad_request", message="the engine speaks protocol 0")))
        writer.close()

    async def test(client: EngineClient) -> None:
        directory = settings.runtime_directory()
        directory.prepare()
        server = await asyncio.start_unix_server(refuse, str(directory.socket))
        for ask in (client.status, client.wait_ready):
            with pytest.raises(EngineError, match="speaks protocol 0") as caught:
                await ask()
            assert caught.value.code == "unavailable"
        server.close()
        directory.socket.unlink(missing_ok=True)

    run(settings, test)


def test_an_engine_that_answers_nonsense_is_a_dead_one(settings: EngineSettings) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_frame(reader)
        writer.write(b"\xff" * 8)
        writer.close()

    async def test(client: EngineClient) -> None:
        directory = settings.runtime_directory()
        directory.prepare()
        server = await asyncio.start_unix_server(nonsense, str(directory.socket))
        with pytest.raises(EngineError, match="does not speak our protocol"):
            await client.status()
        server.close()
        directory.socket.unlink(missing_ok=True)

    run(settings, test)


def test_the_users_own_modules_are_not_imported_by_the_engine(
    tmp_path: Path, settings: EngineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "msgspec.py").write_text("raise SystemExit('imported from the workspace')")
    (tmp_path / "asyncio.py").write_text("raise SystemExit('imported from the workspace')")
    monkeypatch.chdir(tmp_path)
    # The real command with a checkpoint that cannot load: it must get as far as saying so.
    real = EngineSettings(checkpoint=tmp_path / "missing", device="cpu", directory=settings.directory)

    async def test(client: EngineClient) -> None:
        with pytest.raises(EngineError) as caught:
            await client.wait_ready()
        assert "workspace" not in caught.value.message

    run(real, test)
    run(real, EngineClient.stop)


def test_settings_come_from_the_environment_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "RUNTIME_DIR": "/r",
        "ENGINE_COMMAND": "python 'a b.py' --x",
        "CHECKPOINT": "/c",
        "DEVICE": "cuda:1",
        "IDLE_SECONDS": "60",
    }.items():
        monkeypatch.setenv(f"DIFFILL_{name}", value)
    settings = EngineSettings.from_environment()
    assert settings == EngineSettings(
        checkpoint=Path("/c"),
        device="cuda:1",
        directory=Path("/r"),
        command=("python", "a b.py", "--x"),
        idle_seconds=60.0,
    )
    given = EngineSettings.from_environment(device="cpu", checkpoint=Path("/d"), idle_seconds=5)
    assert (given.device, given.checkpoint, given.idle_seconds) == ("cpu", Path("/d"), 5)
    for name in ("RUNTIME_DIR", "ENGINE_COMMAND", "CHECKPOINT", "DEVICE", "IDLE_SECONDS"):
        monkeypatch.setenv(f"DIFFILL_{name}", "")
    assert EngineSettings.from_environment() == EngineSettings()


@pytest.mark.parametrize("line", ["'", " "])
def test_an_unusable_command_is_named(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setenv("DIFFILL_ENGINE_COMMAND", line)
    with pytest.raises(ValueError, match="DIFFILL_ENGINE_COMMAND: "):
        EngineSettings.from_environment()


@pytest.mark.parametrize("seconds", ["soon", "0", "-1", "nan"])
def test_an_unusable_time_is_named(monkeypatch: pytest.MonkeyPatch, seconds: str) -> None:
    monkeypatch.setenv("DIFFILL_IDLE_SECONDS", seconds)
    with pytest.raises(ValueError, match=r"(?i)idle_seconds: "):
        EngineSettings.from_environment()


def test_restarts_are_delayed_more_and_more_until_one_works() -> None:
    now = 100.0
    delay = RestartDelay(lambda: now)
    waits = []
    for _ in range(8):
        delay.failed(object())
        waits.append(delay.remaining())
    assert waits == [0, 1, 2, 4, 8, 16, 30, 30]
    now += 29.0
    assert delay.remaining() == 1.0
    delay.worked()
    assert delay.remaining() == 0
    cause = object()
    for _ in range(5):
        delay.failed(cause)
    assert delay.remaining() == 0  # one death, however many requests it cost
