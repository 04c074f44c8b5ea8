"""What the parts of a session tell one another about completions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from diffill.model.code.span import Kind


ACCEPTED = "diffill.accepted"
"""The command that an editor runs after it inserted a completion. Argument: the completion's id."""
Source = Literal["decoded", "joined", "cache"]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One completion that was sent to the editor. Whether it came to the screen, no editor says."""

    id: str
    uri: str
    language: str
    text: str
    offset: int
    """Where it is to be inserted, in the document's `revision`."""
    revision: int
    kind: Kind
    score: float


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One request that was answered. `items` are empty when nothing was worth showing."""

    uri: str
    language: str
    items: tuple[Shown, ...]
    source: Source
    seconds: float
    """From the request to the answer."""
    invoked: bool
