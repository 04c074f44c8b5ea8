"""What the model is shown beside the file: definitions that it imports, passages like it, recent edits, diagnostics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from diffill.model.code.languages import language_for
from diffill.model.secrets import without_secrets

from .documents import Document, Documents
from .ignored import IgnoreRules, is_secret_file, path_of
from .imports import HEAD_CHARACTERS, candidates, definition, imports
from .passages import CHUNK_LINES, MAX_PASSAGE_CHARACTERS, WORD, Passages
from .recent_changes import RecentChanges

BUDGET = 900
"""Characters of all snippets, about what `prompt.MAX_RELATED_TOKENS` tokens hold. The least telling are left out."""
_MAX_EDITS = 3
_MAX_DIAGNOSTICS = 3
_MAX_DOCUMENTS = 20
_MAX_PROBLEMS = 200
"""Of a document."""
_MAX_FILE_BYTES = 200_000
_MAX_REMEMBERED = 1_000
_NEARBY_CHARACTERS = 1_500
_NEARBY_LINES = 40


@dataclass(frozen=True, kw_only=True)
class Snippet:
    """Some lines of another file, a change, or what a tool says."""

    path: str
    """Relative to the workspace where it lies there, else the file's name; with what it is where it is no passage."""
    text: str


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What a tool reports in a line (0-based)."""

    line: int
    message: str


@dataclass(frozen=True, kw_only=True)
class _Access:
    """What the ignore files and the name of a file say."""

    may_show: bool
    keeps_out: bool


class Context:
    """Gathers snippets for one connection. What it may not show it does not read."""

    def __init__(self, documents: Documents, folders: tuple[str, ...] = ()) -> None:
        self._documents = documents
        self.folders = folders
        self.changes = RecentChanges()
        documents.listeners.append(self.changes)
        self.passages = Passages()
        self._problems: dict[str, list[Problem]] = {}
        self._kept: dict[str, tuple[int, str]] = {}
        self._accesses: dict[tuple[tuple[str, ...], str], _Access] = {}

    def text_for(self, document: Document, offset: int) -> str:
        """The snippets for a cursor as text to stand before its file; the same until the cursor is somewhere else.

        Were it gathered for every key, it would change with the words near the cursor, and not one token of the
        prompt behind it could be used again.
        """
        place = document.content.line_at(offset)[0] // CHUNK_LINES
        kept = self._kept.get(document.uri)
        if kept is None or kept[0] != place:
            if len(self._kept) > _MAX_DOCUMENTS:
                self._kept.clear()
            kept = (place, as_comments(self.gather(document, offset), document.language))
            self._kept[document.uri] = kept
        return kept[1]

    def note_problems(self, document: Document, lines: tuple[int, int], problems: Sequence[Problem]) -> None:
        """Remember all that the editor says about `lines`: most tell of diagnostics only where they ask for actions."""
        first, last = lines
        known = [problem for problem in self._problems.get(document.uri, []) if not first <= problem.line <= last]
        self._problems[document.uri] = [*known, *problems][:_MAX_PROBLEMS]
        while len(self._problems) > _MAX_DOCUMENTS:
            del self._problems[next(iter(self._problems))]

    def gather(self, document: Document, offset: int, *, count: int = 3) -> list[Snippet]:
        """Snippets for a cursor within the budget, the most telling ones last: next to the prefix.

        Definitions that are imported come before passages that only use the same words, of both `count` at most. What
        changes often stands last, so that of what is before it the model need not read anything again.
        """
        nearby = document.content.slice(offset - _NEARBY_CHARACTERS, offset + _NEARBY_CHARACTERS // 3)
        found = self._imported(document, nearby)[:count]
        if len(found) < count:
            found += self._alike(document, nearby, count - len(found))
        recent = [*self._problems_near(document, offset), *self._recent_edits(document)]
        kept: list[Snippet] = []
        room = BUDGET
        for snippet in [*recent, *found]:
            size = len(snippet.path) + len(snippet.text)
            if size <= room:
                room -= size
                kept.append(Snippet(path=snippet.path, text=without_secrets(snippet.text)))
        return list(reversed(kept))

    def may_show(self, document: Document) -> bool:
        """Whether the model may be shown an open document: untitled and remote ones are the person's own doing."""
        return self._access(document).may_show

    def keeps_out(self, document: Document) -> bool:
        """Whether completions stay away from a file altogether: it holds secrets, or `.diffillignore` names it."""
        return self._access(document).keeps_out

    def _access(self, document: Document) -> _Access:
        """What the rules say; looked up once, for every key asks and the file system would be asked each time."""
        place = (self.folders, document.uri)
        if place not in self._accesses:
            if len(self._accesses) > _MAX_REMEMBERED:
                self._accesses.clear()
            path = path_of(document.uri)
            rules = self.rules(path) if path is not None else []
            self._accesses[place] = _Access(
                may_show=path is None or any(rule.may_show(path) for rule in rules),
                keeps_out=path is not None and (is_secret_file(path) or any(rule.keeps_out(path) for rule in rules)),
            )
        return self._accesses[place]

    def forget_rules(self) -> None:
        """Read the ignore files again: one of them changed."""
        IgnoreRules.forget()
        self._accesses.clear()
        self._kept.clear()

    @staticmethod
    def warm() -> None:
        """Load what the first snippet would wait a second for."""
        import bm25s  # noqa: F401

        without_secrets("")

    def rules(self, path: Path) -> list[IgnoreRules]:
        """Those of the workspace's folders that a file lies in, else of its own folder."""
        roots = [root for folder in self.folders if (root := path_of(folder)) is not None and root in path.parents]
        return [IgnoreRules(root) for root in roots or [path.parent]]

    def _imported(self, document: Document, nearby: str) -> list[Snippet]:
        """Definitions of imported names that are used near the cursor, from files of the workspace."""
        path = path_of(document.uri)
        if path is None:
            return []
        used = set(WORD.findall(nearby))
        roots = [root for rules in self.rules(path) for root in (rules.root, rules.root / "src")]
        found = []
        for item in imports(document.content.slice(0, HEAD_CHARACTERS), document.language):
            names = [name for name in item.names if name in used]
            files = candidates(item.module, path, roots, document.language) if names else []
            source = next((file for file in files if self._may_read(file)), None)
            text = self._read(source) if source is not None else None
            if source is None or text is None:
                continue
            found += [
                Snippet(path=self._name(source), text=begun)
                for name in names
                if (begun := definition(text, name, document.language)[:MAX_PASSAGE_CHARACTERS])
            ]
        return found

    def _may_read(self, path: Path) -> bool:
        return path.is_file() and any(rules.may_show(path) for rules in self.rules(path))

    def _read(self, path: Path) -> str | None:
        opened = self._documents.get(path.as_uri())
        if opened is not None:
            return opened.content.slice(0, _MAX_FILE_BYTES)
        try:
            return path.read_text("utf-8") if path.stat().st_size <= _MAX_FILE_BYTES else None
        except (OSError, UnicodeError):
            return None

    def _alike(self, document: Document, nearby: str, count: int) -> list[Snippet]:
        """Passages of other open files that share rare words with the text near the cursor."""
        others = [other for other in self._documents if other.uri != document.uri][:_MAX_DOCUMENTS]
        others = [other for other in others if other.language == document.language and self.may_show(other)]
        return [
            Snippet(path=self._name_of(passage.uri), text=passage.text.strip("\n"))
            for passage in self.passages.best(nearby, document, others, count)
        ]

    def _recent_edits(self, document: Document) -> list[Snippet]:
        """What was changed lately, the latest first: often the same is about to be done again."""
        found = []
        for change in reversed(self.changes.finished()):
            changed = self._documents.get(change.uri)
            if changed is not None and changed.language == document.language and self.may_show(changed):
                lines = [f"- {line.strip()}" for line in change.before.splitlines()]
                lines += [f"+ {line.strip()}" for line in change.after.splitlines()]
                found.append(Snippet(path=f"{self._name_of(change.uri)}, changed", text="\n".join(lines)))
        return found[:_MAX_EDITS]

    def _problems_near(self, document: Document, offset: int) -> list[Snippet]:
        """What tools say about the lines around the cursor."""
        line = document.content.line_at(offset)[0]
        near = [problem for problem in self._problems.get(document.uri, []) if abs(problem.line - line) < _NEARBY_LINES]
        near.sort(key=lambda problem: abs(problem.line - line))
        messages = [" ".join(problem.message.split()) for problem in near[:_MAX_DIAGNOSTICS]]
        if not messages:
            return []
        return [Snippet(path=f"{self._name_of(document.uri)}, problems", text="\n".join(messages))]

    def _name_of(self, uri: str) -> str:
        return self._name(path_of(uri) or Path(uri))

    def _name(self, path: Path) -> str:
        for folder in self.folders:
            root = path_of(folder)
            if root is not None and root in path.parents:
                return path.relative_to(root).as_posix()
        return path.name


def as_comments(snippets: list[Snippet], language: str) -> str:
    """The snippets as comment lines to stand before the prefix, each under the path of its file."""
    entry = language_for(language)
    begin, end = entry.comment if entry is not None else ("# ", "")
    lines = [line for snippet in snippets for line in (f"Path: {snippet.path}", *snippet.text.splitlines())]
    return "".join(f"{begin}{line}".rstrip() + end + "\n" for line in lines)
