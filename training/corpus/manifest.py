"""The manifest: every archive of the corpus, pinned by name, version and sha256, with the licence it is under."""

from __future__ import annotations

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


def write_manifest(path: Path, packages: list[Package]) -> None:
    """One package a line, sorted, so that a change shows as the lines it touches."""
    lines = [
        msgspec.json.encode(package).decode() for package in sorted(packages, key=lambda one: (one.kind, one.name))
    ]
    write_beside(path, ("[\n  " + ",\n  ".join(lines) + "\n]\n").encode())
