"""What the parts of the server share from `initialized` on, and where they listen to one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .documents import Documents
from .positions import Encoding
from .settings import Settings

if TYPE_CHECKING:
    from .inline_completion import InlineCompletions
    from .warm_engine import WarmEngine


@dataclass(kw_only=True)
class Session:
    """One editor's session. `settings` is replaced as a whole when the person changes one."""

    documents: Documents
    engine: WarmEngine
    encoding: Encoding
    completions: InlineCompletions
    settings: Settings = field(default_factory=Settings)
    client_name: str = ""
    """The editor, as it calls itself."""
    folders: tuple[str, ...] = ()
    """URIs of the workspace's folders."""
    on_settings: list[Callable[[Settings], None]] = field(default_factory=list)
    """Called with the new settings, also for the first ones."""
    on_close: list[Callable[[], None]] = field(default_factory=list)
    """Called when the connection ends."""

    def apply(self, settings: Settings) -> None:
        """Take new settings and tell whoever depends on them."""
        self.settings = settings
        for listener in self.on_settings:
            listener(settings)
