"""Manifests: what is written reads the same; what is wrong is named in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from diffill.training.corpus.licences import LicenceGate
from diffill.training.corpus.manifest import Package, PinnedFile, read_manifest, write_manifest
from diffill.training.edits.releases import read_releases

CONFIGS = Path(__file__).parent.parent.parent.parent / "training" / "configs"
LINE = {
    "kind": "pypi",
    "name": "a",
    "version": "1",
    "licence": "MIT",
    "files": [{"file": "a.whl", "sha256": "0"}],
}


def test_what_is_written_reads_the_same(tmp_path: Path) -> None:
    packages = [
        Package(kind="git", name="owner/name", version="0" * 40, licence="MIT", languages=("go",)),
        Package(kind="pypi", name="a", version="1", licence="MIT", files=(PinnedFile(file="a.whl", sha256="0"),)),
    ]
    write_manifest(tmp_path / "manifest.json", packages[::-1])
    assert read_manifest(tmp_path / "manifest.json") == packages


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("", "manifest"),
        ("{}", "manifest"),
        ([{"name": "a"}], "kind"),
        ([LINE | {"colour": 1}], "colour"),
        ([LINE | {"kind": "cpan"}], "cpan"),
        ([LINE, LINE], "names pypi a twice"),
        ([LINE | {"files": []}], "a 1 names no file"),
        ([LINE | {"files": [{"file": "../a.whl", "sha256": "0"}]}], "is not the name of a file"),
    ],
)
def test_a_wrong_manifest_is_named(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "manifest.json"
    if content is not None:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=message) as caught:
        read_manifest(path)
    assert str(caught.value).startswith("manifest: ") and str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*manifest.json")), ids=lambda path: path.stem)
def test_shipped_manifests_name_accepted_licences(path: Path) -> None:
    gate = LicenceGate()
    if path.stem == "edit-releases-manifest":
        packages = [package for pair in read_releases(path) for package in (pair.older, pair.newer)]
    else:
        packages = read_manifest(path)
    assert packages
    assert not [package.label for package in packages if not gate.accepts(package.licence)]
