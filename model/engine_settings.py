"""Which engine a client wants and how it is started."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from .adapter_store import AdapterStore
from .config import DEFAULT_CHECKPOINT
from .runtime_directory import RuntimeDirectory, default_directory

SERVICE_COMMAND = (sys.executable, "-m", "diffill.model.service")


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """One checkpoint on one device; clients share its engine process, whichever adapters they use."""

    checkpoint: Path = DEFAULT_CHECKPOINT
    device: str = "auto"
    adapter: Path | None = None
    """Directory of the adapter that requests name at first."""
    place: Path | None = None
    """A file or folder whose chosen adapter (`diffill adapter use`) is followed; None: the adapter stays."""
    directory: Path | None = None
    """Private directory of the socket; None is the user's runtime directory."""
    command: tuple[str, ...] | None = None
    """Starts the engine in place of `python -m diffill.model.service`; its arguments are appended."""
    idle_seconds: float = 1800.0
    """The engine ends after this time without a request, also while clients are connected: they start the next one."""

    def __post_init__(self) -> None:
        if not self.idle_seconds > 0:
            raise ValueError(f"idle_seconds: {self.idle_seconds} is not positive")
        if self.command is not None and not self.command:
            raise ValueError("command: it is empty")
        if not self.device:
            raise ValueError("device: it is empty")

    @classmethod
    def from_environment(
        cls,
        *,
        checkpoint: Path | None = None,
        device: str | None = None,
        adapter: Path | None = None,
        place: Path | None = None,
        directory: Path | None = None,
        command: tuple[str, ...] | None = None,
        idle_seconds: float | None = None,
    ) -> EngineSettings:
        """What is given here, else DIFFILL_CHECKPOINT, _DEVICE, _ADAPTER, _RUNTIME_DIR, _ENGINE_COMMAND, _IDLE_SECONDS,
        else defaults.

        Args:
            place: a file or folder that is worked on. The adapter that was chosen for it (`diffill adapter use`) is
                taken, where neither an adapter nor a checkpoint is named.

        Raises:
            ValueError: a value is unusable; the line names the variable.
        """
        environment = {name: os.environ.get(f"DIFFILL_{name}") or None for name in _VARIABLES}
        if command is None and (line := environment["ENGINE_COMMAND"]):
            try:
                command = tuple(shlex.split(line))
            except ValueError as error:
                raise ValueError(f"DIFFILL_ENGINE_COMMAND: {error}") from None
            if not command:
                raise ValueError("DIFFILL_ENGINE_COMMAND: it is empty")
        if idle_seconds is None and (seconds := environment["IDLE_SECONDS"]):
            try:
                idle_seconds = float(seconds)
            except ValueError:
                raise ValueError(f"DIFFILL_IDLE_SECONDS: {seconds} is not a number") from None
        if adapter is None and environment["ADAPTER"]:
            adapter = Path(environment["ADAPTER"])
        if adapter is not None or checkpoint or environment["CHECKPOINT"]:
            place = None
        if place is not None:
            adapter = AdapterStore().chosen(place)
        return cls(
            checkpoint=checkpoint or Path(environment["CHECKPOINT"] or cls.checkpoint),
            device=device or environment["DEVICE"] or cls.device,
            adapter=adapter,
            place=place,
            directory=directory or (Path(environment["RUNTIME_DIR"]) if environment["RUNTIME_DIR"] else None),
            command=command,
            idle_seconds=cls.idle_seconds if idle_seconds is None else idle_seconds,
        )

    def runtime_directory(self) -> RuntimeDirectory:
        """Where this engine is found."""
        path = self.directory.absolute() if self.directory else default_directory()
        return RuntimeDirectory(
            path=path,
            checkpoint=self.checkpoint.absolute(),
            device=self.device,
        )


_VARIABLES = ("CHECKPOINT", "DEVICE", "ADAPTER", "RUNTIME_DIR", "ENGINE_COMMAND", "IDLE_SECONDS")
