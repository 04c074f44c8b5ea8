"""Package archives to source files. Archives are read, never installed: no package code runs."""

from __future__ import annotations

import hashlib
import io
import lzma
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..languages import EXTENSIONS, language_of
from .declared import is_metadata_file
from .licences import is_licence_file
from .manifest import Package

LARGEST_MEMBER = 1_000_000
"""Bytes; what is larger is no source that anybody reads, and a bomb is not unpacked."""
Wanted = Callable[[PurePosixPath], bool]
UNREADABLE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError)


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One text file of one archive."""

    path: PurePosixPath
    language: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What is of use in the archives of one package."""

    sources: list[SourceFile]
    metadata: dict[str, str]
    """Package metadata and licence texts, by path."""
    undecodable: int
    """Files with a source's extension that are not UTF-8."""


def read_package(directory: Path, package: Package) -> Contents:
    """Source files, metadata and licence texts of one package.

    Raises:
        ValueError: an archive is missing, unreadable, or not the pinned one.
    """
    sources: list[SourceFile] = []
    metadata: dict[str, str] = {}
    undecodable = 0
    for name, data in _members_of(directory, package, _is_of_use):
        path = PurePosixPath(name)
        text = _text(data)
        if text is None:
            undecodable += path.suffix in EXTENSIONS
            continue
        if _is_metadata(path):
            metadata[name] = text
        if path.suffix in EXTENSIONS:
            language = language_of(path.suffix, text)
            if not package.languages or language in package.languages:
                sources.append(SourceFile(path=path, language=language, text=text))
    return Contents(sources=sources, metadata=metadata, undecodable=undecodable)


def read_metadata(directory: Path, package: Package) -> dict[str, str]:
    """Package metadata and licence texts alone, by path; of a commit nothing else needs to be there.

    Raises:
        ValueError: as `read_package`.
    """
    members = _members_of(directory, package, _is_metadata)
    return {name: text for name, data in members if (text := _text(data)) is not None}


def _text(data: bytes) -> str | None:
    try:
        return data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        return None


def _members_of(directory: Path, package: Package, wanted: Wanted) -> Iterator[tuple[str, bytes]]:
    if package.kind == "git":
        yield from _git_members(directory, package, wanted)
    for pinned in package.files:
        path = directory / pinned.file
        check_file(path, pinned.sha256)
        if pinned.file.endswith(".dsc"):
            continue
        # What Debian adds lies in a folder `debian`; upstream's archive has one of its own name.
        drop = 0 if path.suffix == ".whl" or ".debian.tar." in pinned.file else 1
        for name, data in _members(path, wanted):
            parts = PurePosixPath(name).parts
            yield "/".join(parts[drop:] if len(parts) > drop else parts), data


def git_directory(directory: Path, package: Package) -> Path:
    """Where the history of a `git` package lies among the archives."""
    return directory / f"{package.name.replace('/', '+')}.git"


def check_file(path: Path, sha256: str) -> None:
    """Raises ValueError when `path` is missing or has another hash."""
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256") if hasattr(hashlib, "file_digest") else _digest(stream)
    except FileNotFoundError:
        raise ValueError(f"archives: {path} is missing; `diffill corpus fetch` downloads it") from None
    except OSError as error:
        raise ValueError(f"archives: cannot read {path}: {error.strerror}") from None
    if digest.hexdigest() != sha256:
        raise ValueError(f"archives: {path} is not the pinned one (its sha256 differs from the manifest)")


def _digest(stream: io.BufferedReader) -> hashlib._Hash:
    digest = hashlib.sha256()
    while chunk := stream.read(1 << 20):
        digest.update(chunk)
    return digest


def _is_metadata(path: PurePosixPath) -> bool:
    return is_metadata_file(path) or (path.suffix not in EXTENSIONS and is_licence_file(path))


def _is_of_use(path: PurePosixPath) -> bool:
    return path.suffix in EXTENSIONS or _is_metadata(path)


def _members(path: Path, wanted: Wanted) -> Iterator[tuple[str, bytes]]:
    try:
        if path.suffix in (".whl", ".zip"):
            with zipfile.ZipFile(path) as wheel:
                for entry in wheel.infolist():
                    if entry.file_size <= LARGEST_MEMBER and wanted(PurePosixPath(entry.filename)):
                        with wheel.open(entry) as stream:
                            yield entry.filename, stream.read(LARGEST_MEMBER)  # the stated size may lie
        else:
            with tarfile.open(path, "r:*") as tarball:
                yield from _tar_members(tarball, wanted)
    except UNREADABLE as error:
        raise ValueError(f"archives: {path} is not a readable archive: {_first_line(error)}") from None


def _tar_members(tarball: tarfile.TarFile, wanted: Wanted) -> Iterator[tuple[str, bytes]]:
    for member in tarball:
        if member.isfile() and member.size <= LARGEST_MEMBER and wanted(PurePosixPath(member.name)):
            stream = tarball.extractfile(member)
            if stream is not None:
                yield member.name, stream.read()


def _git_members(directory: Path, package: Package, wanted: Wanted) -> Iterator[tuple[str, bytes]]:
    """The tree of the pinned commit; what is not wanted is not even opened, for a snapshot may lack it."""
    repository = git_directory(directory, package)
    if not repository.is_dir():
        raise ValueError(f"archives: {repository} is missing; `diffill corpus fetch` or `fetch-edits` clones it")
    git = ["git", "-C", str(repository)]
    listing = subprocess.run([*git, "ls-tree", "-r", "-z", "--name-only", package.version], capture_output=True)
    paths = [PurePosixPath(name) for name in listing.stdout.decode(errors="replace").split("\0") if name]
    chosen = sorted({_pathspec(path) for path in paths if wanted(path)})
    if paths and not chosen:
        return
    command = [*git, "archive", "--format=tar", package.version, "--", *chosen]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as tarball:
                yield from _tar_members(tarball, wanted)
            process.stdout.read()
        except UNREADABLE:
            problem = process.stderr.read().decode(errors="replace").strip().splitlines()
            reason = problem[0] if problem else "no tree"
            raise ValueError(f"archives: {repository} at {package.version}: {reason}") from None


def _pathspec(path: PurePosixPath) -> str:
    """All sources of a kind at once: there are more of them than a command line holds."""
    return f":(literal){path}" if _is_metadata(path) else f"*{path.suffix}"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
