"""One start of an engine process, detached from the client that asked for it."""

from __future__ import annotations

import os
import subprocess
import threading

from .engine_settings import SERVICE_COMMAND, EngineSettings

MAX_EXPLANATION_BYTES = 4096


class Launch:
    """A started process; it outlives its starter and ends by itself."""

    def __init__(self, settings: EngineSettings) -> None:
        """Start it; takes milliseconds, so an event loop calls this on a thread.

        Raises:
            ValueError: the directory or the command cannot be used, in one line.
        """
        self._directory = settings.runtime_directory()
        self._directory.prepare()
        command = [
            *(settings.command or SERVICE_COMMAND),
            *("--checkpoint", str(self._directory.checkpoint)),
            *("--device", settings.device),
            *("--directory", str(self._directory.path)),
            *("--idle-seconds", str(settings.idle_seconds)),
        ]
        try:
            # Appended to, because clients that start at the same time write to one file.
            stderr = os.open(
                self._directory.stderr,
                os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC,
                0o600,
            )
        except OSError as error:
            raise ValueError(f"directory: cannot create {self._directory.stderr}: {error.strerror}") from None
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
                # `python -m` puts the working directory first on the module path: there a user's own `numpy.py` would
                # be imported in place of ours. A command of the user's own may hold relative paths.
                cwd=None if settings.command else self._directory.path,
            )
        except OSError as error:
            raise ValueError(f"engine command: cannot run {command[0]}: {error.strerror}") from None
        finally:
            os.close(stderr)
        # A process nobody waits for would stay as a zombie for as long as the client lives.
        threading.Thread(target=self._process.wait, name="engine process", daemon=True).start()

    @property
    def exit_status(self) -> int | None:
        """None while the process runs; negative is a signal."""
        return self._process.returncode

    def explanation(self) -> str:
        """The last line it wrote to standard error, or its exit status in words."""
        try:
            with self._directory.stderr.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - MAX_EXPLANATION_BYTES))
                lines = file.read().decode("utf-8", "replace").strip().splitlines()
        except OSError:
            lines = []
        if lines:
            return lines[-1].strip()[:500]
        return f"the engine ended with status {self.exit_status} before it listened"
