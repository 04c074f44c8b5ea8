"""A team's repository: what `git ls-files` lists, as it was at one commit. The working tree is never read."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pygit2
from pygit2.enums import FileMode, RepositoryOpenFlag, SortMode

JUDGED_SHARE = 0.1
"""Share of the commits, the newest ones, that only measure where no date is given."""


@dataclass(frozen=True, kw_only=True)
class TrackedFile:
    """A file that git tracks today, at the commit that is trained to."""

    path: PurePosixPath
    mode: int
    size: int
    """Bytes; 0 where there is no content."""
    blob: str


class Repository:
    """A checkout, split by time: commits up to `trained_to` are learned from, those behind it measure."""

    def __init__(self, path: Path, *, until: datetime.date | None) -> None:
        """Raises ValueError for what cannot be trained on, in one line."""
        self.path = path
        try:
            self._git = pygit2.Repository(str(path), RepositoryOpenFlag.NO_SEARCH)
        except pygit2.GitError:
            raise ValueError(f"REPO: {path} is not the top of a git repository that you may read") from None
        if self._git.is_bare:
            raise ValueError(f"REPO: {path} is a bare repository; what is trained on is what a checkout tracks")
        if self._git.is_shallow:
            raise ValueError(
                f"REPO: {path} is a shallow clone, its history is missing; `git fetch --unshallow` gets it"
            )
        if self._git.is_empty or self._git.head_is_unborn:
            raise ValueError(f"REPO: {path} has no commit yet")
        self.name = path.resolve().name
        head = self._git.head.peel(pygit2.Commit)
        self.judged_to = str(head.id)
        self.trained_to = str(self._split(head, until).id)

    def files(self, commit: str | None = None) -> Iterator[TrackedFile]:
        """What the index lists and a commit holds (the one that is trained to, by default), by path."""
        tree = self._git[commit or self.trained_to].peel(pygit2.Tree)
        for entry in sorted(self._git.index, key=lambda entry: entry.path):
            try:
                found = tree[entry.path]
            except KeyError:
                continue  # added later
            # The header alone: in a repository of gigabytes most files are never read.
            size = self._git.odb.read_header(found.id)[1] if found.filemode & 0o170000 == 0o100000 else 0
            yield TrackedFile(path=PurePosixPath(entry.path), mode=int(found.filemode), size=size, blob=str(found.id))

    def tracked(self) -> frozenset[str]:
        return frozenset(entry.path for entry in self._git.index)

    def read(self, file: TrackedFile) -> bytes:
        data: bytes = self._git[file.blob].peel(pygit2.Blob).data
        return data

    def attribute(self, path: PurePosixPath, name: str) -> bool:
        """Whether `.gitattributes` sets it."""
        return self._git.get_attr(str(path), name) in (True, "true")

    def _split(self, head: pygit2.Commit, until: datetime.date | None) -> pygit2.Commit:
        """The last commit of the first-parent line before `until`, or before the newest tenth of the line."""
        line: list[pygit2.Commit] = []
        walk = self._git.walk(head.id, SortMode.TOPOLOGICAL)
        walk.simplify_first_parent()
        for commit in walk:
            line.append(commit)
        if until is None:
            return line[min(len(line) - 1, round(JUDGED_SHARE * len(line)))]
        before = datetime.datetime.combine(until, datetime.time(), datetime.timezone.utc).timestamp()
        for commit in line:
            if commit.commit_time < before:
                return commit
        raise ValueError(f"--until: {self.path} has no commit before {until}")


def is_regular(file: TrackedFile) -> bool:
    return file.mode in (int(FileMode.BLOB), int(FileMode.BLOB_EXECUTABLE))


def is_submodule(file: TrackedFile) -> bool:
    return file.mode == int(FileMode.COMMIT)
