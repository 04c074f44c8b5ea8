"""Where the server keeps quiet, and why: switched off by a setting, by a command, or for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from fnmatch import fnmatchcase
from urllib.parse import unquote, urlsplit

from .documents import Document
from .settings import Settings


class Switches:
    """What the person switched in this session, on top of the settings."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._session = True
        self._languages: set[str] = set()
        self._paths: set[str] = set()
        self._snoozed_until = 0.0
        self.settings = Settings()
        self.listeners: list[Callable[[], None]] = []
        """Called when something was switched."""

    def take_settings(self, settings: Settings) -> None:
        self.settings = settings
        self._changed()

    def switch_session(self, *, on: bool) -> None:
        self._session = on
        self._changed()

    def switch_language(self, language: str, *, on: bool) -> None:
        """Switching on undoes switching off; what a setting switches off stays off."""
        self._languages = self._languages - {language} if on else self._languages | {language}
        self._changed()

    def switch_path(self, uri: str, *, on: bool) -> None:
        """A file, or a folder and all below it."""
        path = uri.rstrip("/")
        self._paths = self._paths - {path} if on else self._paths | {path}
        self._changed()

    def snooze(self, seconds: float) -> float:
        """Keep quiet for so long; 0 ends it. Returns the Unix time of its end."""
        self._snoozed_until = self._clock() + seconds
        self._changed()
        return self._snoozed_until

    def why_silent(self, document: Document) -> str | None:
        """One line that says why nothing is offered in a document, or None."""
        return self.why_all_silent() or self._path_reason(document.uri) or self._language_reason(document.language)

    def why_all_silent(self) -> str | None:
        """One line that says why nothing is offered anywhere, or None."""
        if not self._session:
            return "switched off for this session"
        if self._clock() < self._snoozed_until:
            return f"snoozed until {datetime.fromtimestamp(self._snoozed_until):%H:%M}"
        return None

    async def wake_later(self, seconds: float) -> None:
        """Tell the listeners when a snooze of so many seconds is over."""
        await asyncio.sleep(seconds)
        self._changed()

    def is_silent(self, document: Document) -> bool:
        return self.why_silent(document) is not None

    def _path_reason(self, uri: str) -> str | None:
        if any(uri == path or uri.startswith(f"{path}/") for path in self._paths):
            return "switched off for this path"
        path = unquote(urlsplit(uri).path)
        for pattern in self.settings.exclude:
            if fnmatchcase(path, pattern) or fnmatchcase(path, f"*/{pattern}"):
                return f"excluded by the setting diffill.exclude: {pattern}"
        return None

    def _language_reason(self, language: str) -> str | None:
        if language in self._languages:
            return f"switched off for {language}"
        return None if self.settings.is_enabled(language) else f"switched off for {language} by diffill.enable"

    def _changed(self) -> None:
        for listener in self.listeners:
            listener()
