"""Archives: only the pinned ones, only text, and broken ones by name."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from diffill.training.sources import Archive, read_archive, read_manifest

MEMBERS = {
    "pkg/a.py": b"x = 1\r\ny = 2\rz = 3\n",
    "pkg/b.ts": b"const x = 1\n",
    "pkg/c.tsx": b"<a/>\n",
    "pkg/d.mjs": b"export {}\n",
    "pkg/latin.py": b"s = '\xe9'\n",
    "pkg/data.json": b"{}",
    "pkg/e.pyc": b"\0\0",
}


def wheel(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def tarball(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("pkg/link.py")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    return stream.getvalue()


FORMS = {"a.whl": wheel, "a.tgz": tarball}


def store(directory: Path, name: str, data: bytes) -> Archive:
    (directory / name).write_bytes(data)
    return Archive(file=name, sha256=hashlib.sha256(data).hexdigest(), licence="MIT")


@pytest.mark.parametrize("name", FORMS)
def test_source_files_are_read(tmp_path: Path, name: str) -> None:
    archive = store(tmp_path, name, FORMS[name](MEMBERS))
    found = {str(source.path): source for source in read_archive(tmp_path, archive)}
    assert {path: source.language for path, source in found.items()} == {
        "pkg/a.py": "python",
        "pkg/b.ts": "typescript",
        "pkg/c.tsx": "tsx",
        "pkg/d.mjs": "javascript",
    }
    assert found["pkg/a.py"].text == "x = 1\ny = 2\nz = 3\n"
    assert {source.archive for source in found.values()} == {name}


@pytest.mark.parametrize("name", FORMS)
def test_another_archive_than_the_pinned_one(tmp_path: Path, name: str) -> None:
    archive = store(tmp_path, name, FORMS[name](MEMBERS))
    (tmp_path / name).write_bytes(FORMS[name]({"pkg/a.py": b"evil = 1\n"}))
    with pytest.raises(ValueError, match=rf"archives: .*{name} is not the pinned one"):
        list(read_archive(tmp_path, archive))


def test_a_missing_archive(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"archives: cannot read .*a\.whl"):
        list(read_archive(tmp_path, Archive(file="a.whl", sha256="0" * 64, licence="MIT")))


def overwritten(data: bytes) -> bytes:
    return data[:60] + bytes(byte ^ 0x55 for byte in data[60:90]) + data[90:]


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: b"not an archive", lambda data: data[: len(data) // 2], overwritten],
    ids=["empty", "something else", "half", "overwritten"],
)
@pytest.mark.parametrize("name", FORMS)
def test_a_corrupt_archive_is_named(tmp_path: Path, name: str, damage) -> None:
    """Even where the sum in the manifest was taken of the corrupt file."""
    noise = {f"pkg/{n}.py": hashlib.sha256(bytes([n])).hexdigest().encode() * 20 for n in range(20)}
    archive = store(tmp_path, name, damage(FORMS[name](noise)))
    with pytest.raises(ValueError, match=rf"archives: .*{name} is not a readable archive") as caught:
        list(read_archive(tmp_path, archive))
    assert "\n" not in str(caught.value)


def test_manifest(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps([{"file": "a.whl", "sha256": "0", "licence": "MIT"}]))
    assert read_manifest(path) == [Archive(file="a.whl", sha256="0", licence="MIT")]


@pytest.mark.parametrize(
    "content", [None, "", "{}", '[{"file": "a"}]', '[{"file": "a", "sha256": "0", "licence": "MIT", "colour": 1}]']
)
def test_a_wrong_manifest_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "manifest.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=r"manifest: .*manifest\.json") as caught:
        read_manifest(path)
    assert "\n" not in str(caught.value)
