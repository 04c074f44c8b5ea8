"""`$/logTrace`: what every answer was and how long it took, once the client has set `trace`. Never any of the text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from lsprotocol import types

if TYPE_CHECKING:
    from .events import Answered
    from .session import RepairOutcome, Session


class Trace:
    """Listens to a session and tells the client as much as it wants to hear."""

    def __init__(
        self,
        session: Session,
        *,
        level: Callable[[], types.TraceValue],
        send: Callable[[types.LogTraceParams], None],
    ) -> None:
        self._level = level
        self._send = send
        session.completions.on_answer.append(self.answered)
        session.on_repair.append(self.repaired)

    def answered(self, answer: Answered) -> None:
        """A request for completions was answered."""
        way = "invoked" if answer.invoked else "automatic"
        self._tell(
            f"inline completion, {way}: {len(answer.items)} items, {answer.source}, {answer.seconds * 1000:.0f} ms",
            (
                f"{item.kind}, {len(item.text)} characters, mean log-probability {item.score:.2f}"
                for item in answer.items
            ),
        )

    def repaired(self, language: str, kind: str, seconds: float, outcome: RepairOutcome) -> None:
        """A repair was looked for."""
        self._tell(f"{kind}: {outcome}, {seconds * 1000:.0f} ms", [f"language {language}"])

    def _tell(self, message: str, details: Iterable[str]) -> None:
        level = self._level()
        if level != types.TraceValue.Off:
            verbose = "\n".join(details) if level == types.TraceValue.Verbose else None
            self._send(types.LogTraceParams(message=message, verbose=verbose))
