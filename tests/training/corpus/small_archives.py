"""Small packages that are made in the test, as the registries would serve them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffill.training.corpus.manifest import Package, PinnedFile, write_manifest

MIT = """MIT License

Copyright (c) 2020 Someone

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""


def module(name: str, functions: int = 12) -> str:
    """A Python file that nothing is wrong with, unlike that of another name."""
    return "".join(
        f"def {name}_{n}({name}_first, second):\n    return {name}_first * {n} + {name}(second)\n\n\n"
        for n in range(functions)
    )


def wheel(members: Mapping[str, str | bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def tarball(members: Mapping[str, str | bytes], *, compression: str = "gz") -> bytes:
    """With a link in it, which must not be followed."""
    stream = io.BytesIO()
    with tarfile.open(None, f"w:{compression}", stream) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            content = data.encode() if isinstance(data, str) else data
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("package/link.py")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    return stream.getvalue()


def store(directory: Path, name: str, data: bytes) -> PinnedFile:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(data)
    return PinnedFile(file=name, sha256=hashlib.sha256(data).hexdigest())


def python_package(directory: Path, name: str, files: Mapping[str, str], *, licence: str = "MIT") -> Package:
    """A wheel among the archives, and its line of the manifest."""
    metadata = f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\nLicense-Expression: {licence}\n"
    members = {**files, f"{name}-1.0.dist-info/METADATA": metadata}
    pinned = store(directory, f"{name}-1.0-py3-none-any.whl", wheel(members))
    return Package(kind="pypi", name=name, version="1.0", licence=licence, files=(pinned,))


def write_config(directory: Path, packages: list[Package], **changes: Any) -> Path:
    """A configuration over `packages`, whose archives lie in `directory / "archives"`."""
    write_manifest(directory / "manifest.json", packages)
    config = {
        "manifests": [str(directory / "manifest.json")],
        "archives": str(directory / "archives"),
        "out": str(directory / "corpus"),
        "processes": 1,
    }
    path = directory / "corpus.json"
    path.write_text(json.dumps(config | changes))
    return path
