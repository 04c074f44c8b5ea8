"""The private directory an engine lives in: its socket, its lock, its log, and the checks that they are really ours."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import struct
import sys
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from .wire import PROTOCOL, build

DIRECTORY_MODE = 0o700
SOCKET_MODE = 0o600
MAX_SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107


@dataclass(frozen=True, kw_only=True)
class RuntimeDirectory:
    """Where the engine for one checkpoint and device is found by this build; other builds look elsewhere."""

    path: Path
    checkpoint: Path
    device: str

    @cached_property
    def key(self) -> str:
        """12 hexadecimal digits over protocol, package version, checkpoint and device."""
        parts = [str(PROTOCOL), build(), os.path.realpath(self.checkpoint), self.device]
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:12]

    @property
    def socket(self) -> Path:
        return self.path / f"engine-{self.key}.sock"

    @property
    def lock(self) -> Path:
        return self.path / f"engine-{self.key}.lock"

    @property
    def stderr(self) -> Path:
        """What the engine process wrote to standard error since it was last started."""
        return self.path / f"engine-{self.key}.stderr"

    @property
    def log(self) -> Path:
        return self.path / "engine.log"

    def check(self) -> None:
        """See that the directory is ours alone and that its socket path can be used.

        Raises:
            FileNotFoundError: there is no such directory yet.
            ValueError: it is a symbolic link, not a directory, somebody else's or open to others, or its name is too
                long for a socket.
        """
        length = len(os.fsencode(self.socket))
        if length > MAX_SOCKET_PATH_BYTES:
            raise ValueError(
                f"directory: {self.path} is too long for a socket ({length} bytes with its name, "
                f"at most {MAX_SOCKET_PATH_BYTES})"
            )
        try:
            status = self.path.lstat()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise ValueError(f"directory: cannot use {self.path}: {error.strerror}") from None
        if stat.S_ISLNK(status.st_mode):
            raise ValueError(f"directory: {self.path} is a symbolic link")
        if not stat.S_ISDIR(status.st_mode):
            raise ValueError(f"directory: {self.path} is not a directory")
        if status.st_uid != os.getuid():
            raise ValueError(f"directory: {self.path} belongs to user {status.st_uid}, not to {os.getuid()}")
        if mode := stat.S_IMODE(status.st_mode) & 0o077:
            # Not tightened silently: somebody may have named their home directory.
            raise ValueError(f"directory: {self.path} is open to other users ({mode:03o}); chmod 700 makes it private")

    def prepare(self) -> None:
        """Create the directory if there is none, then `check` it.

        Raises:
            ValueError: as `check`, or the directory cannot be created.
        """
        try:
            self.path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
            self.check()
        except OSError as error:
            raise ValueError(f"directory: cannot create {self.path}: {error.strerror}") from None


def default_directory() -> Path:
    """`$XDG_RUNTIME_DIR/diffill` or what stands for it on this system."""
    import platformdirs

    with warnings.catch_warnings():
        # It warns on standard error when there is no XDG_RUNTIME_DIR, which is normal in containers and over ssh.
        warnings.simplefilter("ignore")
        return platformdirs.user_runtime_path("diffill", appauthor=False)


def peer_user(connection: socket.socket) -> int:
    """User id of the process at the other end of a connected Unix socket.

    Raises:
        OSError: the system does not tell.
    """
    if sys.platform == "darwin":
        # struct xucred: unsigned version, uid_t, ...; SOL_LOCAL is 0, LOCAL_PEERCRED is 1.
        _, user = struct.unpack_from("=II", connection.getsockopt(0, 1, 76))
        return int(user)
    _, user, _ = struct.unpack("=3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(user)
