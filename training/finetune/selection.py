"""Which files of a repository are trained on, with one reason for every other; secrets in them are masked."""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import pathspec

from diffill.model.secrets import secret_lines, without_secrets

from ..corpus import Document
from ..corpus.archives import LARGEST_MEMBER, SourceFile
from ..corpus.benchmarks import BenchmarkWindows, words_of
from ..corpus.duplicates import Duplicates, exact_digest, signature
from ..corpus.licences import ACCEPTED, COPYLEFT, LicenceGate, is_licence_file, recognise
from ..corpus.parsing import GRAMMARS, parses
from ..corpus.quality import refusal_by_path, refusal_by_text, strip_licence_header
from ..languages import EXTENSIONS, language_of
from .repository import Repository, TrackedFile, is_regular, is_submodule

MOST_CHARACTERS = 12_000_000
"""Of a larger repository files are taken in the order of a hash of their paths until so much is there."""
OWN = "LicenseRef-own"
EVALUATED = "near duplicate of what measures"
OTHER_PATH = "not among --paths"
NOT_OURS = frozenset({"licence", "generated", "vendored", "submodule", "symbolic link", EVALUATED, OTHER_PATH})
"""Reasons that hold for the history of a file, too."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where something is, without what it is."""

    path: str
    line: int


@dataclass(kw_only=True)
class Selection:
    """What became of every tracked file."""

    documents: list[Document] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """Reason by path."""
    secrets: list[Place] = field(default_factory=list)
    licence: str = OWN
    """Of the repository itself."""

    def takes_edits(self, path: str) -> bool:
        """Whether the history of a file may be learned from: it may be too long to be read whole, but not others'."""
        return self.refused.get(path) not in NOT_OURS

    def licensed(self, text: str) -> bool:
        """Whether what a file says of its licence allows to learn from it."""
        gate = LicenceGate((*ACCEPTED, self.licence))
        return gate.accepts_file(text) or (_is_copyleft(self.licence) and bool(COPYLEFT.search(text[:3000])))

    @property
    def characters(self) -> int:
        return sum(len(document.text) for document in self.documents)

    def reasons(self) -> collections.Counter[str]:
        return collections.Counter(self.refused.values())


def select(
    repository: Repository,
    *,
    paths: Sequence[str] = (),
    most: int = MOST_CHARACTERS,
    measured: BenchmarkWindows | None = None,
    commit: str | None = None,
) -> Selection:
    """Look at every tracked file.

    Args:
        paths: patterns as in .gitignore; only files that match one are taken. All without any.
        measured: text that measures; a file that holds much of it is not trained on.
        commit: in place of the one that is trained to.

    Raises:
        ValueError: a pattern is malformed.
    """
    try:
        wanted = pathspec.GitIgnoreSpec.from_lines(paths)
    except ValueError as error:
        raise ValueError(f"--paths: {error}") from None
    files = list(repository.files(commit))
    licence = _own_licence(repository, files)
    duplicates, selection = Duplicates(), Selection(licence=licence)
    characters = 0
    for file in sorted(files, key=_sampling_order):
        text = None
        reason = _refusal_unread(repository, file) or (
            OTHER_PATH if paths and not wanted.match_file(str(file.path)) else None
        )
        if reason is None:
            text = _decoded(repository.read(file))
            reason = "not UTF-8" if text is None else file_refusal(file.path, text, selection.licensed)
        if text is not None and reason is None:
            selection.secrets += [Place(path=str(file.path), line=line) for line in secret_lines(text)]
            document = Document(
                text=without_secrets(strip_licence_header(text)),
                language=language_of(file.path.suffix, text),
                path=str(file.path),
                package=repository.name,
                licence=licence,
            )
            words = words_of(document.text)
            reason = duplicates.refusal(exact_digest(document.text), signature(words)) or (
                "over the limit of characters" if characters + len(document.text) > most else None
            )
            if reason is None and measured is not None and measured.contaminate(words):
                reason = EVALUATED
            if reason is None:
                characters += len(document.text)
                selection.documents.append(document)
        if reason is not None:
            selection.refused[str(file.path)] = reason
    selection.documents.sort(key=lambda document: document.path)
    return selection


def _refusal_unread(repository: Repository, file: TrackedFile) -> str | None:
    """Looks that need no content."""
    if is_submodule(file):
        return "submodule"
    if not is_regular(file):
        return "symbolic link"
    if file.path.suffix not in EXTENSIONS:
        return "no source in a known language"
    if repository.attribute(file.path, "linguist-generated"):
        return "generated"
    if repository.attribute(file.path, "linguist-vendored"):
        return "vendored"
    return "size" if file.size > LARGEST_MEMBER else None


def file_refusal(path: PurePosixPath, text: str, licensed: Callable[[str], bool]) -> str | None:
    """The looks of the corpus, but for those that only a public corpus needs.

    Args:
        licensed: see `Selection.licensed`.
    """
    language = language_of(path.suffix, text)
    reason = refusal_by_path(SourceFile(path=path, language=language, text=text))
    if reason is None and not licensed(text):
        reason = "licence"
    reason = reason or refusal_by_text(strip_licence_header(text))
    if reason is None and (language == "python" or language in GRAMMARS) and not parses(text, language):
        reason = "does not parse"
    return reason


def _own_licence(repository: Repository, files: Sequence[TrackedFile]) -> str:
    """Of the licence text at the top of the repository; a team's own code need not have one."""
    for file in files:
        if len(file.path.parts) == 1 and is_licence_file(file.path) and is_regular(file):
            text = _decoded(repository.read(file))
            if text is not None and (found := recognise(text)) is not None:
                return found
    return OWN


def _is_copyleft(licence: str) -> bool:
    return licence.startswith(("GPL", "LGPL", "AGPL"))


def _decoded(data: bytes) -> str | None:
    try:
        return data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        return None


def _sampling_order(file: TrackedFile) -> bytes:
    return hashlib.blake2b(str(file.path).encode("utf-8", "replace")).digest()
