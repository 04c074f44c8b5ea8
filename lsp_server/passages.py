"""Passages of open files, found by the rare words that they share with the text near the cursor (BM25)."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .documents import Document
from .text import Text

if TYPE_CHECKING:
    import bm25s

CHUNK_LINES = 24
MAX_CHARACTERS = 40_000
"""Of one document: what comes after is not looked at."""
MAX_PASSAGE_CHARACTERS = 4_000
"""More in so few lines is data, or minified code."""
WORD = re.compile(r"[A-Za-z_]\w{2,}")


@dataclass(frozen=True, kw_only=True)
class Passage:
    """Some lines of an open document."""

    uri: str
    language: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Index:
    """Passages, and the library's ranking of them."""

    passages: list[Passage] = field(default_factory=list)
    ranking: bm25s.BM25 | None = None

    @classmethod
    def of(cls, documents: list[tuple[str, str, Text]]) -> Index:
        """Over (URI, language, text) of documents. Takes tens of milliseconds, the first time a second."""
        passages = [
            Passage(uri=uri, language=language, text=passage)
            for uri, language, content in documents
            for passage in _passages(content)
        ]
        words = [WORD.findall(passage.text) for passage in passages]
        if not any(words):
            return cls()
        import bm25s  # only those need it who ask for context

        ranking = bm25s.BM25()
        ranking.index(words, show_progress=False)
        return cls(passages=passages, ranking=ranking)

    def best(self, nearby: str, document: Document, count: int) -> list[Passage]:
        """At most `count` passages of other documents in the same language, the likest first."""
        query = list(dict.fromkeys(WORD.findall(nearby)))
        if self.ranking is None or not query:
            return []
        scores = self.ranking.get_scores(query)
        found: list[Passage] = []
        for index in sorted(range(len(self.passages)), key=lambda index: -scores[index]):
            if scores[index] <= 0 or len(found) == count:
                break
            passage = self.passages[index]
            if passage.uri != document.uri and passage.language == document.language:
                found.append(passage)
        return found


class Passages:
    """The index of what is open. In a server it is made on a thread, and the one before serves until it is there."""

    def __init__(self) -> None:
        self._index = Index()
        self._key: object = None
        self._work: asyncio.Task[None] | None = None

    def best(self, nearby: str, document: Document, others: list[Document], count: int) -> list[Passage]:
        """As `Index.best`, over `others`."""
        key = [(other.uri, other.revision) for other in others]
        if key != self._key:
            snapshot = [(other.uri, other.language, other.content) for other in others]
            try:
                asyncio.get_running_loop()
            except RuntimeError:  # the command line: it waits
                self._index, self._key = Index.of(snapshot), key
            else:
                if self._work is None or self._work.done():
                    self._work = asyncio.ensure_future(self._renew(snapshot, key))
        return self._index.best(nearby, document, count)

    async def _renew(self, snapshot: list[tuple[str, str, Text]], key: object) -> None:
        self._index = await asyncio.to_thread(Index.of, snapshot)
        self._key = key

    @property
    def is_renewing(self) -> bool:
        return self._work is not None and not self._work.done()

    async def renewed(self) -> None:
        """Wait for what is being made."""
        if self._work is not None:
            await self._work


def _passages(content: Text) -> list[str]:
    lines = content.slice(0, MAX_CHARACTERS).split("\n")
    chunks = ("\n".join(lines[start : start + CHUNK_LINES]) for start in range(0, len(lines), CHUNK_LINES))
    return [chunk for chunk in chunks if len(chunk) <= MAX_PASSAGE_CHARACTERS]
