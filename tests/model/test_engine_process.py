"""The engine process itself: its directory, socket, lock and log, how it loads, and all the ways in which it ends."""

from __future__ import annotations

import os
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine_process import (
    LONG_ANSWER,
    PlainClient,
    ends,
    listens,
    place,
    private_directory,
    running,
    spawn,
    until,
)


@pytest.fixture
def directory() -> Iterator[Path]:
    with private_directory() as path:
        yield path


def test_the_directory_and_everything_in_it_is_private(directory: Path) -> None:
    with running(directory), PlainClient(directory):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        files = list(directory.iterdir())
        here = place(directory)
        assert here.socket in files and here.lock in files and here.log in files
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
        assert stat.S_ISSOCK(here.socket.stat().st_mode)


def test_loading_is_reported_and_requests_wait_for_it(directory: Path) -> None:
    with running(directory, answer="x", load_seconds="0.5") as process, PlainClient(directory) as client:
        client.decode(1, "x")
        seen = []
        while (status := client.status())["state"] == "loading":
            seen.append(status["progress"])
        # The decoder may answer between two of our questions; what matters is that there is an answer.
        assert seen and seen == sorted(seen) and 0 <= seen[0] <= seen[-1] <= 1
        assert status["model"]["name"] == "fake" and status["pid"] == process.pid and status["progress"] == 1
        client.decode(2, "x")
        assert client.answer(2)["type"] == "decoded"
        assert client.status()["requests"] == 2


def test_a_failed_load_is_one_line_to_everybody_then_exit_2(directory: Path) -> None:
    line = "checkpoint: shard 2 has the wrong hash"
    with running(directory, load_error=line, load_seconds="0.2") as process:
        with PlainClient(directory) as client:
            client.decode(1, "x")
            answer = client.answer(1)
            assert answer["code"] == "unavailable" and answer["message"] == line
            status = client.wait_ready()
            assert status["state"] == "failed" and status["detail"] == line
        assert ends(process)[0] == 2
    assert not place(directory).socket.exists()


def test_an_unexpected_error_ends_the_process_and_tells_nothing_private(directory: Path) -> None:
    with (
        running(directory, answer=LONG_ANSWER, delay="0.02") as process,
        PlainClient(directory) as client,
        PlainClient(directory) as other,
    ):
        other.decode(1, "x", trace=True)
        other.wait_for_step(1)
        client.decode(1, "SECRET_NAME RAISE")
        client.status()  # it is in the queue
        other.decode(2, "x")
        other.send(type="cancel", id=1)
        assert other.answer(1)["code"] == "cancelled"
        answer = client.answer(1)
        assert answer["code"] == "engine_dead"
        assert other.answer(2)["code"] == "engine_dead"
        status, stderr = ends(process)
        assert status == 1
        log = place(directory).log.read_text()
        assert "RuntimeError at fake_engine.py:" in log and "fake_engine.py:" in answer["message"]
        assert "SECRET" not in log + stderr + answer["message"]


def test_a_forward_pass_that_hangs_ends_the_process(directory: Path) -> None:
    with running(directory, "--stall-seconds", "0.2") as process, PlainClient(directory) as client:
        client.decode(1, "HANG")
        assert client.answer(1)["code"] == "engine_dead"
        status, stderr = ends(process)
        assert status == 1 and "_misbehave" in stderr  # the stack of the decoding thread


@pytest.mark.parametrize("how", ["signal", "stop"])
def test_stopping_answers_what_is_in_flight_and_leaves_no_socket(directory: Path, how: str) -> None:
    with (
        running(directory, answer=LONG_ANSWER, delay="0.05") as process,
        PlainClient(directory) as client,
        PlainClient(directory) as other,
    ):
        client.decode(1, "x", trace=True)
        client.decode(2, "x")
        client.wait_for_step(1)
        if how == "signal":
            process.send_signal(signal.SIGTERM)
        else:
            other.send(type="stop", id=9)
            assert other.receive() == {"type": "stopping", "id": 9}
        assert {client.answer(2)["code"]} == {"cancelled"}
        assert client.closed() and other.closed()
        assert ends(process) == (0, "")
    assert not place(directory).socket.exists()


def test_an_engine_that_nobody_asks_ends_whether_or_not_a_client_stays(directory: Path) -> None:
    with running(directory, "--idle-seconds", "1") as process, PlainClient(directory) as client:
        client.wait_ready()
        assert ends(process) == (0, "") and client.closed()
    with running(directory, "--idle-seconds", "1") as process:
        assert ends(process) == (0, "")
    assert not place(directory).socket.exists()


def test_an_engine_does_not_end_while_somebody_waits_for_an_answer(directory: Path) -> None:
    slow = {"answer": LONG_ANSWER, "delay": "0.1"}
    with running(directory, "--idle-seconds", "0.2", **slow) as process, PlainClient(directory) as client:
        client.decode(1, "x", max_tokens=40)
        assert client.answer(1)["result"]["forward_passes"] == 10  # a second
        assert ends(process) == (0, "")


def test_an_engine_does_not_end_while_it_loads(directory: Path) -> None:
    with running(directory, "--idle-seconds", "0.2", load_seconds="1") as process, PlainClient(directory) as client:
        assert client.wait_ready()["state"] == "ready"
        assert ends(process) == (0, "")


def test_a_second_process_leaves_quietly(directory: Path) -> None:
    with running(directory) as process:
        assert ends(spawn(directory)) == (0, "")
        with PlainClient(directory) as client:
            assert client.status()["pid"] == process.pid


def test_the_socket_of_a_dead_engine_is_replaced(directory: Path) -> None:
    with running(directory) as first:
        first.kill()
        first.wait()
        assert place(directory).socket.exists() and not listens(place(directory).socket)
        with running(directory) as second, PlainClient(directory) as client:
            assert client.status()["pid"] == second.pid


def refused(directory: Path) -> str:
    status, stderr = ends(spawn(directory))
    assert status == 2 and stderr.count("\n") == 1
    return stderr


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_something_else_in_the_place_of_the_socket_is_left_alone(directory: Path, kind: str) -> None:
    path = place(directory).socket
    if kind == "file":
        path.write_text("mine")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(directory / "elsewhere")
    assert f"{path} is in the way and is not a socket" in refused(directory)
    assert path.is_symlink() if kind == "link" else path.exists()


def test_a_socket_held_by_a_stranger_is_left_alone(directory: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(place(directory).socket))
        stranger.listen()
        assert "is held by a process that is not this engine" in refused(directory)
    assert place(directory).socket.exists()


def test_a_lock_that_is_a_link_is_refused(directory: Path) -> None:
    target = directory / "target"
    place(directory).lock.symlink_to(target)
    assert f"cannot create {place(directory).lock}" in refused(directory)
    assert not target.exists()


def test_a_directory_that_cannot_hold_a_socket_is_named(directory: Path) -> None:
    (directory / "file").write_text("")
    assert f"cannot create {directory / 'file' / 'run'}" in refused(directory / "file" / "run")


@pytest.mark.parametrize(
    "obstruct",
    [
        pytest.param(lambda log: log.mkdir(), id="a directory"),
        pytest.param(
            lambda log: log.symlink_to("/dev/full"),
            id="a full disk",
            marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full"),
        ),
    ],
)
def test_without_a_log_it_says_so_once_and_serves(directory: Path, obstruct: Callable[[Path], None]) -> None:
    obstruct(place(directory).log)
    with running(directory, answer="x") as process, PlainClient(directory) as client:
        client.decode(1, "x")
        assert client.answer(1)["type"] == "decoded"
        process.send_signal(signal.SIGTERM)
        status, stderr = ends(process)
    assert status == 0 and stderr.count("\n") == 1 and "running without a log" in stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start a process of another user")
def test_a_client_of_another_user_is_turned_away(directory: Path) -> None:
    with running(directory) as process:
        directory.chmod(0o755)
        place(directory).socket.chmod(0o666)
        child = os.fork()
        if child == 0:
            os.setuid(65534)
            try:
                with PlainClient(directory):
                    os._exit(1)
            except (EOFError, ConnectionError):
                os._exit(0)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert process.poll() is None


@pytest.mark.parametrize("arguments", [("--idle-seconds", "nan"), ("--idle-seconds", "0"), ("--idle-seconds", "soon")])
def test_a_wrong_argument_is_named(directory: Path, arguments: tuple[str, str]) -> None:
    status, stderr = ends(spawn(directory, *arguments))
    assert status == 2 and "idle-seconds" in stderr.splitlines()[-1]


def test_torch_is_not_imported_to_listen(directory: Path) -> None:
    with running(directory) as process:
        maps = Path(f"/proc/{process.pid}/maps")
        if not maps.exists():
            pytest.skip("needs /proc")
        assert "libtorch" not in maps.read_text()
    until(lambda: process.returncode is not None)
