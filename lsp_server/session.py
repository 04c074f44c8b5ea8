"""What the parts of the server share from `initialized` on, and where they listen to one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from .documents import Document, Documents
from .positions import Encoding
from .settings import Settings

RepairOutcome = Literal["verified", "not verified", "none"]

if TYPE_CHECKING:
    from .context import Context
    from .inline_completion import InlineCompletions
    from .warm_engine import WarmEngine


@dataclass(kw_only=True)
class Session:
    """One editor's session. `settings` is replaced as a whole when the person changes one."""

    documents: Documents
    engine: WarmEngine
    encoding: Encoding
    completions: InlineCompletions
    context: Context
    settings: Settings = field(default_factory=Settings)
    client_name: str = ""
    """The editor, as it calls itself."""
    on_settings: list[Callable[[Settings], None]] = field(default_factory=list)
    """Called with the new settings, also for the first ones."""
    silencers: list[Callable[[Document], bool]] = field(default_factory=list)
    """Whoever says true keeps offers away from a document."""
    on_repair: list[Callable[[str, str, float, RepairOutcome], None]] = field(default_factory=list)
    """Called after every search for a repair with the language, the kind, the seconds it took and its outcome."""
    on_close: list[Callable[[], None]] = field(default_factory=list)
    """Called when the connection ends."""

    def may_offer(self, document: Document) -> bool:
        """Whether anything is offered in a document."""
        return self.settings.is_enabled(document.language) and not any(quiet(document) for quiet in self.silencers)

    @property
    def folders(self) -> tuple[str, ...]:
        """URIs of the workspace's folders."""
        return self.context.folders

    def apply(self, settings: Settings) -> None:
        """Take new settings and tell whoever depends on them."""
        self.settings = settings
        for listener in self.on_settings:
            listener(settings)
