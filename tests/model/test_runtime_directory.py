"""The engine's directory is ours alone, and no two builds, checkpoints or devices meet in one socket."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from diffill.model import runtime_directory
from diffill.model.runtime_directory import MAX_SOCKET_PATH_BYTES, RuntimeDirectory, default_directory, peer_user
from tests.engine_process import private_directory


@pytest.fixture
def parent() -> Iterator[Path]:
    with private_directory() as path:
        yield path


def at(path: Path, *, checkpoint: Path = Path("/c"), device: str = "cpu") -> RuntimeDirectory:
    return RuntimeDirectory(path=path, checkpoint=checkpoint, device=device)


def test_it_is_created_private_whatever_the_umask(parent: Path) -> None:
    previous = os.umask(0)
    try:
        at(parent / "a" / "run").prepare()
    finally:
        os.umask(previous)
    assert stat.S_IMODE((parent / "a" / "run").stat().st_mode) == 0o700


def test_a_missing_one_is_told_apart_from_a_bad_one(parent: Path) -> None:
    with pytest.raises(FileNotFoundError):
        at(parent / "run").check()


def test_a_symbolic_link_is_refused_even_to_our_own(parent: Path) -> None:
    (parent / "real").mkdir(mode=0o700)
    (parent / "run").symlink_to(parent / "real")
    with pytest.raises(ValueError, match="is a symbolic link"):
        at(parent / "run").prepare()


def test_a_file_is_refused(parent: Path) -> None:
    (parent / "run").write_text("")
    with pytest.raises(ValueError, match="directory: "):
        at(parent / "run").prepare()


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o701, 0o777])
def test_one_that_others_may_enter_is_refused_and_left_as_it_is(parent: Path, mode: int) -> None:
    (parent / "run").mkdir()
    (parent / "run").chmod(mode)
    with pytest.raises(ValueError, match="chmod 700"):
        at(parent / "run").prepare()
    assert stat.S_IMODE((parent / "run").stat().st_mode) == mode


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_somebody_elses_is_refused(parent: Path) -> None:
    (parent / "run").mkdir(mode=0o700)
    os.chown(parent / "run", 65534, 65534)
    with pytest.raises(ValueError, match="belongs to user 65534"):
        at(parent / "run").prepare()


def test_a_name_too_long_for_a_socket_is_refused_before_anything_is_made(parent: Path) -> None:
    path = parent / ("x" * MAX_SOCKET_PATH_BYTES)
    with pytest.raises(ValueError, match="too long for a socket"):
        at(path).check()


def test_the_longest_allowed_name_can_be_bound(parent: Path) -> None:
    room = MAX_SOCKET_PATH_BYTES - len(os.fsencode(at(parent / "x").socket)) + 1
    directory = at(parent / ("x" * room))
    assert len(os.fsencode(directory.socket)) == MAX_SOCKET_PATH_BYTES
    directory.prepare()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory.socket))


def test_the_socket_depends_on_protocol_build_checkpoint_and_device(
    parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [at(parent).socket, at(parent, checkpoint=Path("/d")).socket, at(parent, device="cuda").socket]
    monkeypatch.setattr(runtime_directory, "PROTOCOL", 99)
    names.append(at(parent).socket)
    monkeypatch.undo()
    monkeypatch.setattr(runtime_directory, "build", lambda: "other")
    names.append(at(parent).socket)
    monkeypatch.undo()
    assert len(set(names)) == 5
    assert at(parent).socket == names[0]


def test_two_spellings_of_one_checkpoint_share_an_engine(parent: Path) -> None:
    (parent / "c").mkdir()
    (parent / "link").symlink_to(parent / "c")
    assert at(parent, checkpoint=parent / "link").key == at(parent, checkpoint=parent / "c" / ".." / "c").key


def test_the_default_is_silent_without_a_runtime_directory(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert default_directory().name == "diffill"
    assert not recwarn.list


def test_the_other_end_of_a_socket_is_known() -> None:
    left, right = socket.socketpair(socket.AF_UNIX)
    with left, right:
        assert peer_user(left) == os.getuid()
