"""Git histories to changes: small commits by people, read from bare repositories without running git."""

from __future__ import annotations

import collections
import datetime
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pygit2
from pygit2.enums import DeltaStatus, ObjectType, SortMode

from ..corpus.archives import git_directory
from ..corpus.manifest import Package
from ..languages import EXTENSIONS, language_of
from .change import Change, split_lines

AUTOMATIC_AUTHOR = re.compile(
    r"\[bot\]|\bbot\b|dependabot|renovate|pre-commit|pyup|github-actions|greenkeeper|snyk|weblate|transifex",
    re.IGNORECASE,
)
AUTOMATIC_SUBJECT = re.compile(
    r"^(?:merge|revert|bump|release|version|prepare|backport|update changelog|chore\(deps|chore\(release|build\(deps)\b"
    r"|\bv?\d+\.\d+\.\d+|\b(?:reformat|prettier|isort|pyupgrade|autopep8|linting|run black|apply black|typos?)\b"
    r"|\[pre-commit|\bcopyright\b|\blicen[cs]e headers?\b",
    re.IGNORECASE,
)
REFERENCE = re.compile(
    r"\s*(?:\(?(?:#|gh-)\d+\)?|\([^()]*#\d+[^()]*\))\s*$|^\s*(?:\[[^\]]*\]|#\d+:?)\s*", re.IGNORECASE
)
MAX_FILES = 24
"""A commit of more files is a sweep, not an edit."""
MAX_SUBJECT = 100


@dataclass(frozen=True, kw_only=True)
class CommittedFile:
    """One file after one commit, with its changed runs of lines."""

    commit: str
    subject: str
    path: PurePosixPath
    language: str
    text: str
    changes: Sequence[Change]

    def text_before(self) -> str:
        """The file before the commit, in so far as its changes are among `changes`."""
        lines = split_lines(self.text)
        for change in reversed(self.changes):
            lines[change.start : change.end] = change.before
        return "".join(lines)


class History:
    """The commits of one repository that lead to one of them."""

    def __init__(self, path: Path, head: str, *, name: str) -> None:
        """
        Args:
            path: a repository, bare or not.
            head: any name of a commit.
            name: of the repository, for the sources of pairs.

        Raises:
            ValueError: there is no repository, or it does not hold the commit.
        """
        self.name = name
        try:
            self._git = pygit2.Repository(str(path), pygit2.enums.RepositoryOpenFlag.NO_SEARCH)
            self._head = self._git.revparse_single(head).peel(pygit2.Commit).id
        except (pygit2.GitError, KeyError, ValueError) as error:
            raise ValueError(f"{path} does not hold commit {head}: {error}") from None

    def commits(self, since: datetime.date, *, behind: str | None = None) -> list[str]:
        """Ids of all commits with one parent since a date, newest first; without those that lead to `behind`."""
        earliest = datetime.datetime.combine(since, datetime.time(), datetime.timezone.utc).timestamp()
        walk = self._git.walk(self._head, SortMode.TOPOLOGICAL | SortMode.TIME)
        if behind is not None:
            walk.hide(pygit2.Oid(hex=behind))
        return [str(commit.id) for commit in walk if len(commit.parents) == 1 and commit.commit_time >= earliest]

    def files(self, commit_id: str, refusals: collections.Counter[str]) -> Iterator[CommittedFile]:
        """The source files that a commit changed, renamed ones followed; new, deleted and binary files have none."""
        commit = self._git[commit_id].peel(pygit2.Commit)
        if reason := _automatic(commit):
            refusals[reason] += 1
            return
        patches = self._patches(commit)
        if isinstance(patches, str):
            refusals[patches] += 1
            return
        subject = clean_subject(_subject(commit))
        for patch in patches:
            if patch.delta.status not in (DeltaStatus.MODIFIED, DeltaStatus.RENAMED):
                continue
            path = PurePosixPath(patch.delta.new_file.path)
            if path.suffix not in EXTENSIONS or patch.delta.is_binary:
                continue
            text = self._text(patch.delta.new_file.id)
            if text is None:
                refusals["not plain text"] += 1
                continue
            lines = split_lines(text)
            yield CommittedFile(
                commit=commit_id,
                subject=subject,
                path=path,
                language=language_of(path.suffix, text),
                text=text,
                changes=[change for hunk in patch.hunks if (change := _change(lines, hunk)) is not None],
            )

    def _patches(self, commit: pygit2.Commit) -> list[pygit2.Patch] | str:
        """What a commit changed, or why it is left out."""
        try:
            diff = self._git.diff(commit.parents[0], commit, context_lines=0)
            if len(diff) > MAX_FILES:
                return "commit of many files"
            diff.find_similar()
            return [patch for patch in diff if patch is not None]
        except (pygit2.GitError, KeyError):  # a partial clone lacks the largest files
            return "objects missing in the clone"

    def _text(self, blob_id: pygit2.Oid) -> str | None:
        blob = self._git.get(blob_id)
        if blob is None or blob.type != ObjectType.BLOB:
            return None
        data = blob.peel(pygit2.Blob).data
        try:
            return None if b"\r" in data else data.decode("utf-8")
        except UnicodeDecodeError:
            return None


def pinned_history(archives: Path, package: Package) -> History:
    """The history of a bare clone where `diffill corpus fetch` puts it.

    Raises:
        ValueError: the clone is missing or does not hold the pinned commit.
    """
    try:
        return History(git_directory(archives, package), package.version, name=package.name)
    except ValueError as error:
        raise ValueError(f"archives: {error}") from None


def clean_subject(subject: str) -> str:
    """A subject without references to an issue tracker, on one line; empty when it says nothing."""
    previous = None
    while subject != previous:
        previous, subject = subject, REFERENCE.sub("", subject)
    subject = " ".join(subject.split())
    return subject if 8 <= len(subject) <= MAX_SUBJECT and " " in subject else ""


def _automatic(commit: pygit2.Commit) -> str | None:
    if AUTOMATIC_AUTHOR.search(commit.author.name) or AUTOMATIC_AUTHOR.search(commit.author.email):
        return "commit by a bot"
    return "release, formatting or revert" if AUTOMATIC_SUBJECT.search(_subject(commit)) else None


def _subject(commit: pygit2.Commit) -> str:
    return commit.raw_message.decode("utf-8", "replace").strip().split("\n", 1)[0]


def _change(lines: Sequence[str], hunk: pygit2.DiffHunk) -> Change | None:
    """None where a line without its newline would stand in the middle of the file."""
    before = tuple(line.raw_content.decode("utf-8", "replace") for line in hunk.lines if line.origin == "-")
    # A hunk that only deletes names the line that it comes behind.
    start = hunk.new_start - 1 if hunk.new_lines else hunk.new_start
    end = start + hunk.new_lines
    if any("�" in line or "\r" in line for line in before):
        return None
    if not all(line.endswith("\n") for line in (*before, *lines[start:end])):
        return None
    return Change(lines=lines, start=start, end=end, before=before)
