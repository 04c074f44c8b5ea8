"""Consecutive releases of one package to changes: files are matched by their path and compared by lines."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ..corpus.archives import SourceFile, read_package
from ..corpus.documents import write_beside
from ..corpus.manifest import Package, one_a_line
from .change import Change, changes_between, split_lines


class Releases(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two pinned releases of one package."""

    older: Package
    newer: Package


@dataclass(frozen=True, kw_only=True)
class ReleasedFile:
    """One file of the newer release, with its changed runs of lines."""

    source: SourceFile
    changes: Sequence[Change]


def read_releases(path: Path) -> list[Releases]:
    """Raises ValueError with one line: unreadable, or an unknown key."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Releases])
    except OSError as error:
        raise ValueError(f"releases: cannot read {path}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise ValueError(f"releases: {path}: {error}") from None


def add_to_releases(path: Path, releases: Releases) -> None:
    """Write the manifest with one pair more, or with another one of the same package.

    Raises:
        ValueError: the manifest is there and is unreadable.
    """
    others = read_releases(path) if path.exists() else []
    kept = [one for one in others if (one.newer.kind, one.newer.name) != (releases.newer.kind, releases.newer.name)]
    in_order = sorted([*kept, releases], key=lambda one: one.newer.name)
    write_beside(path, one_a_line(in_order))


def released_files(archives: Path, releases: Releases) -> Iterator[ReleasedFile]:
    """Files that are in both releases and differ, by a hash of their paths, so that a limit samples evenly.

    Raises:
        ValueError: an archive is missing, unreadable or not the pinned one.
    """
    older = {source.path: source.text for source in read_package(archives, releases.older).sources}
    newer = read_package(archives, releases.newer).sources
    for source in sorted(newer, key=lambda source: hashlib.blake2b(str(source.path).encode()).digest()):
        text = older.get(source.path)
        if text is not None and text != source.text:
            changes = changes_between(split_lines(text), split_lines(source.text))
            yield ReleasedFile(source=source, changes=list(changes))
