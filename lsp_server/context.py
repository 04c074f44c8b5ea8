"""What other files say about the place at the cursor: definitions that it imports, and like passages of open files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from diffill.model.code.languages import language_for
from diffill.model.secrets import without_secrets

from .documents import Document, Documents
from .ignored import IgnoreRules, is_secret_file, path_of

_CHUNK_LINES = 24
_MAX_DOCUMENTS = 20
_MAX_DOCUMENT_CHARACTERS = 40_000
_MAX_SNIPPET_CHARACTERS = 4_000
"""More in so few lines is data, or minified code."""
_MAX_FILE_BYTES = 200_000
_NEARBY_CHARACTERS = 1_500
_WORD = re.compile(r"[A-Za-z_]\w{2,}")
_PYTHON_IMPORT = re.compile(r"^[ \t]*from[ \t]+(\.*[\w.]*)[ \t]+import[ \t]+\(?([\w, \t]+)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Snippet:
    """Some lines of another file, without secrets."""

    path: str
    """Relative to the workspace where it lies there, else the file's name."""
    text: str


class Context:
    """Gathers snippets for one connection. What it may not show it does not read."""

    def __init__(self, documents: Documents, folders: tuple[str, ...] = ()) -> None:
        self._documents = documents
        self.folders = folders
        self._kept: dict[str, tuple[int, str]] = {}

    def text_for(self, document: Document, offset: int) -> str:
        """The snippets for a cursor as text to stand before its file; the same until the cursor is somewhere else.

        Were it gathered for every key, it would change with the words near the cursor, and not one token of the
        prompt behind it could be used again.
        """
        place = document.content.line_at(offset)[0] // _CHUNK_LINES
        kept = self._kept.get(document.uri)
        if kept is None or kept[0] != place:
            if len(self._kept) > _MAX_DOCUMENTS:
                self._kept.clear()
            kept = (place, as_comments(self.gather(document, offset), document.language))
            self._kept[document.uri] = kept
        return kept[1]

    def gather(self, document: Document, offset: int, *, count: int = 3) -> list[Snippet]:
        """At most `count` snippets for a cursor, the most telling ones last: next to the prefix.

        Definitions that are imported come before passages that only use the same words.
        """
        nearby = document.content.slice(offset - _NEARBY_CHARACTERS, offset + _NEARBY_CHARACTERS // 3)
        found = self._imported(document, nearby)[:count]
        if len(found) < count:
            found += self._alike(document, nearby, count - len(found))
        return list(reversed(found))

    def may_show(self, document: Document) -> bool:
        """Whether the model may be shown an open document: untitled and remote ones are the person's own doing."""
        path = path_of(document.uri)
        return path is None or any(rules.may_show(path) for rules in self._rules(path))

    def keeps_out(self, document: Document) -> bool:
        """Whether completions stay away from a file altogether: it holds secrets, or `.diffillignore` names it."""
        path = path_of(document.uri)
        return path is not None and (is_secret_file(path) or any(rules.keeps_out(path) for rules in self._rules(path)))

    def _rules(self, path: Path) -> list[IgnoreRules]:
        roots = [root for folder in self.folders if (root := path_of(folder)) is not None and root in path.parents]
        return [IgnoreRules(root) for root in roots or [path.parent]]

    def _imported(self, document: Document, nearby: str) -> list[Snippet]:
        """Definitions of imported names that are used near the cursor, from files of the workspace."""
        path = path_of(document.uri)
        if path is None or document.language != "python":
            return []
        head = document.content.slice(0, 8_000)
        used = set(_WORD.findall(nearby))
        found = []
        for match in _PYTHON_IMPORT.finditer(head):
            names = [name for name in _WORD.findall(match.group(2)) if name in used]
            source = self._module(path, match.group(1)) if names else None
            text = self._read(source) if source is not None else None
            if source is None or text is None:
                continue
            found += [
                Snippet(path=self._name(source), text=without_secrets(definition))
                for name in names
                if (definition := _definition(text, name)[:_MAX_SNIPPET_CHARACTERS])
            ]
        return found

    def _module(self, path: Path, module: str) -> Path | None:
        """The file of a Python module in the workspace."""
        dots = len(module) - len(module.lstrip("."))
        parts = [part for part in module.split(".") if part]
        if dots:
            bases = [path.parents[dots - 1]] if dots <= len(path.parents) else []
        else:
            bases = [root for rules in self._rules(path) for root in (rules.root, rules.root / "src")]
        for base in bases:
            for candidate in (base.joinpath(*parts).with_suffix(".py"), base.joinpath(*parts, "__init__.py")):
                if parts and candidate.is_file() and any(rules.may_show(candidate) for rules in self._rules(candidate)):
                    return candidate
        return None

    def _read(self, path: Path) -> str | None:
        opened = self._documents.get(path.as_uri())
        if opened is not None:
            return opened.content.slice(0, _MAX_FILE_BYTES)
        try:
            return path.read_text("utf-8") if path.stat().st_size <= _MAX_FILE_BYTES else None
        except (OSError, UnicodeError):
            return None

    def _alike(self, document: Document, nearby: str, count: int) -> list[Snippet]:
        """Passages of other open files that share rare words with the text near the cursor (BM25)."""
        chunks = []
        others = [other for other in self._documents if other.uri != document.uri][:_MAX_DOCUMENTS]
        for other in others:
            if other.language == document.language and self.may_show(other):
                lines = other.content.slice(0, _MAX_DOCUMENT_CHARACTERS).split("\n")
                name = self._name(path_of(other.uri) or Path(other.uri))
                chunks += [
                    Snippet(path=name, text="\n".join(lines[start : start + _CHUNK_LINES]))
                    for start in range(0, len(lines), _CHUNK_LINES)
                    if sum(map(len, lines[start : start + _CHUNK_LINES])) <= _MAX_SNIPPET_CHARACTERS
                ]
        query = list(dict.fromkeys(_WORD.findall(nearby)))
        words = [_WORD.findall(chunk.text) for chunk in chunks]
        if not query or not any(words):
            return []
        import bm25s  # takes a moment, and only those need it who ask for context

        ranking = bm25s.BM25()
        ranking.index(words, show_progress=False)
        scores = ranking.get_scores(query)
        best = sorted(range(len(chunks)), key=lambda index: -scores[index])[:count]
        return [
            Snippet(path=chunks[index].path, text=without_secrets(chunks[index].text.strip("\n")))
            for index in best
            if scores[index] > 0
        ]

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


def _definition(text: str, name: str) -> str:
    """The first lines of the definition of a Python name: signature, and the start of its body or its members."""
    match = re.search(rf"^([ \t]*)(async[ \t]+)?(def|class)[ \t]+{re.escape(name)}\b", text, re.MULTILINE)
    if match is None:
        match = re.search(rf"^{re.escape(name)}\b[^=\n]*=.*$", text, re.MULTILINE)
        return match.group() if match else ""
    lines = text[match.start() :].split("\n")
    signatures = [line for line in lines[1:60] if re.match(r"\s+(async\s+)?def\s", line)]
    return "\n".join([lines[0], *(signatures[:8] if match.group(3) == "class" else lines[1:4])])
