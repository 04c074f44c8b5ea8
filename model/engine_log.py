"""The engine's log file: small, rotating, and never a reason to stop."""

from __future__ import annotations

import logging
import logging.handlers
import sys
from pathlib import Path

MAX_BYTES = 256 * 1024
BACKUPS = 1


class EngineLog(logging.handlers.RotatingFileHandler):
    """One line per event. When the disk is full it says so once on standard error and goes on without."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8", errors="replace")
        self.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
        self._failed = False

    def handleError(self, record: logging.LogRecord) -> None:
        if not self._failed:
            self._failed = True
            report_missing_log(sys.exc_info()[1])


def open_log(path: Path, *, level: int = logging.INFO) -> None:
    """Send what the engine logs to `path`, or report once that there is no log."""
    root = logging.getLogger()
    root.setLevel(level)
    try:
        root.addHandler(EngineLog(path))
    except OSError as error:
        root.addHandler(logging.NullHandler())  # else warnings would go to standard error, one by one
        report_missing_log(error)


def report_missing_log(error: BaseException | None) -> None:
    """One line on standard error."""
    reason = error.strerror if isinstance(error, OSError) else type(error).__name__
    print(f"diffill engine: running without a log: {reason}", file=sys.stderr, flush=True)
