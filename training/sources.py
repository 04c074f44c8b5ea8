"""Package archives to source files. Archives are read, never installed: no package code runs."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

LANGUAGES = {
    ".py": "python",
    ".js": "javascript",
    ".mjs": "javascript",
    ".ts": "typescript",
    ".tsx": "tsx",
}


class Archive(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One pinned line of the manifest."""

    file: str
    sha256: str
    licence: str


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One text file of one archive."""

    archive: str
    path: PurePosixPath
    language: str
    text: str


def read_manifest(path: Path) -> list[Archive]:
    """Raises ValueError with one line when the manifest cannot be read or has an unknown key."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Archive])
    except (OSError, msgspec.MsgspecError) as error:
        raise ValueError(f"manifest: {path}: {error}") from None


def read_archive(directory: Path, archive: Archive) -> Iterator[SourceFile]:
    """The source files of a wheel or an npm tarball, in order.

    Raises:
        ValueError: the archive is missing, unreadable, or not the pinned one.
    """
    path = directory / archive.file
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ValueError(f"archives: cannot read {path}: {error.strerror}") from None
    if digest != archive.sha256:
        raise ValueError(f"archives: {path} is not the pinned one (its sha256 differs from the manifest)")
    for name, data in _members(path):
        member = PurePosixPath(name)
        language = LANGUAGES.get(member.suffix)
        if language is None:
            continue
        try:
            text = data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
        except UnicodeDecodeError:
            continue
        yield SourceFile(archive=archive.file, path=member, language=language, text=text)


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                for name in sorted(wheel.namelist()):
                    if PurePosixPath(name).suffix in LANGUAGES:
                        yield name, wheel.read(name)
        else:
            with tarfile.open(path, "r:gz") as tarball:
                for member in tarball:
                    if member.isfile() and PurePosixPath(member.name).suffix in LANGUAGES:
                        stream = tarball.extractfile(member)
                        if stream is not None:
                            yield member.name, stream.read()
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise ValueError(f"archives: {path} is not a readable archive: {error}") from None
