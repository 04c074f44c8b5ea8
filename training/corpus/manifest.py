"""The manifest: every archive of the corpus, pinned by name, version and sha256, with the licence it is under."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from .documents import write_beside

Kind = Literal["pypi", "npm", "debian", "git"]


class PinnedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file as it is downloaded."""

    file: str
    sha256: str


class Package(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the manifest."""

    kind: Kind
    """`debian` is a source package: its upstream archives, and the packaging that says which file has which licence."""
    name: str
    """`owner/name` of a public git host for `git`."""
    version: str
    """The commit for `git`."""
    licence: str
    """SPDX expression."""
    files: tuple[PinnedFile, ...] = ()
    """None for `git`, where the commit is the hash."""
    languages: tuple[str, ...] = ()
    """Only these are taken; all when empty."""

    @property
    def label(self) -> str:
        return f"{self.name} {self.version}"


def read_manifest(path: Path) -> list[Package]:
    """Raises ValueError with one line: unreadable, an unknown key, or one package twice."""
    try:
        packages = msgspec.json.decode(path.read_bytes(), type=list[Package])
    except OSError as error:
        raise ValueError(f"manifest: cannot read {path}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise ValueError(f"manifest: {path}: {error}") from None
    seen: set[tuple[str, str]] = set()
    for package in packages:
        if (package.kind, package.name) in seen:
            raise ValueError(f"manifest: {path} names {package.kind} {package.name} twice")
        if not package.files and package.kind != "git":
            raise ValueError(f"manifest: {path}: {package.label} names no file")
        for pinned in package.files:
            if Path(pinned.file).name != pinned.file:
                raise ValueError(f"manifest: {path}: {pinned.file!r} is not the name of a file")
        seen.add((package.kind, package.name))
    return packages


def add_to_manifest(path: Path, package: Package) -> None:
    """Write the manifest with one package more, or with another version of it.

    Raises:
        ValueError: the manifest is there and is unreadable.
    """
    others = read_manifest(path) if path.exists() else []
    kept = [one for one in others if (one.kind, one.name) != (package.kind, package.name)]
    write_manifest(path, [*kept, package])


def write_manifest(path: Path, packages: list[Package]) -> None:
    """Sorted by kind and name."""
    in_order = sorted(packages, key=lambda one: (one.kind, one.name))
    write_beside(path, one_a_line(in_order))


def one_a_line(entries: Iterable[msgspec.Struct]) -> bytes:
    """JSON in which a change shows as the lines it touches."""
    lines = [msgspec.json.encode(entry).decode() for entry in entries]
    return ("[\n  " + ",\n  ".join(lines) + "\n]\n").encode()
