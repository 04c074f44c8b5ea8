"""Fetching: what is missing and only that, checked against the pin. The clients are stand-ins on the PATH."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from diffill.cli.corpus import corpus
from diffill.training.corpus.fetch import _wheel_tags, fetch
from diffill.training.corpus.manifest import Package, PinnedFile, read_manifest
from diffill.training.edits.releases import read_releases
from tests.training.corpus.small_archives import tarball

CONTENT = tarball({"package/package.json": '{"license": "MIT"}'})
UNLICENSED = tarball({"package/package.json": '{"license": "UNLICENSED"}'})
DIGEST = hashlib.sha256(CONTENT).hexdigest()
CLIENT = """#!/bin/sh
echo "$@" >> {log}
case "$*" in *absent*) echo "no such package" >&2; exit 1;; esac
case "$*" in *private*) cp {private} a-1.tgz;; *) cp {content} a-1.tgz;; esac
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stand-in for npm writes how it was called."""
    client = tmp_path / "bin" / "npm"
    client.parent.mkdir()
    places = {"log": tmp_path / "log", "content": tmp_path / "content", "private": tmp_path / "private"}
    places["content"].write_bytes(CONTENT)
    places["private"].write_bytes(UNLICENSED)
    client.write_text(CLIENT.format(**places))
    client.chmod(client.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(client.parent), prepend=os.pathsep)
    return tmp_path / "log"


def package(name: str = "a", sha256: str = DIGEST) -> Package:
    return Package(
        kind="npm", name=name, version="1", licence="MIT", files=(PinnedFile(file="a-1.tgz", sha256=sha256),)
    )


def test_what_is_missing_is_fetched_once(tmp_path: Path, log: Path) -> None:
    assert fetch([package()], tmp_path / "archives") == []
    assert fetch([package()], tmp_path / "archives") == []
    assert (tmp_path / "archives" / "a-1.tgz").read_bytes() == CONTENT
    assert log.read_text().splitlines() == ["pack --silent --ignore-scripts a@1"]
    (tmp_path / "archives" / "a-1.tgz").write_bytes(b"cut short")
    assert fetch([package()], tmp_path / "archives") == []
    assert (tmp_path / "archives" / "a-1.tgz").read_bytes() == CONTENT


def test_another_file_than_the_pinned_one_never_arrives(tmp_path: Path, log: Path) -> None:
    (problem,) = fetch([package(sha256="0" * 64)], tmp_path / "archives")
    assert problem.startswith("a 1: archives: ") and "is not the pinned one" in problem
    assert list((tmp_path / "archives").iterdir()) == []


def test_a_failure_is_named_and_the_others_are_fetched(tmp_path: Path, log: Path) -> None:
    seen: list[tuple[int, int]] = []
    problems = fetch([package("absent"), package()], tmp_path / "archives", on_progress=lambda *done: seen.append(done))
    assert problems == ["absent 1: npm: no such package"]
    assert (tmp_path / "archives" / "a-1.tgz").exists()
    assert seen == [(1, 2), (2, 2)]


def test_pin_writes_the_manifest(tmp_path: Path, log: Path) -> None:
    path = tmp_path / "manifest.json"
    options = ["--manifest", str(path), "--archives", str(tmp_path / "archives")]
    result = CliRunner().invoke(corpus, ["pin", "npm", "a", "1", *options])
    assert result.exit_code == 0, result.stderr
    assert read_manifest(path) == [package()], "with the licence that is in the archive"
    for name, reason in (("private", "its own files state licence 'UNLICENSED'"), ("absent", "no such package")):
        result = CliRunner().invoke(corpus, ["pin", "npm", name, "1", *options])
        assert result.exit_code == 2
        assert reason in result.stderr
        assert read_manifest(path) == [package()]


def test_pin_writes_a_manifest_of_releases(tmp_path: Path, log: Path) -> None:
    path = tmp_path / "releases.json"
    options = ["--manifest", str(path), "--archives", str(tmp_path / "archives")]
    for older in ("0.8", "0.9"):
        result = CliRunner().invoke(corpus, ["pin", "npm", "a", "1", "--older", older, *options])
        assert result.exit_code == 0, result.stderr
        (releases,) = read_releases(path)
        assert (releases.older.version, releases.older.licence, releases.newer) == (older, "MIT", package())
    result = CliRunner().invoke(corpus, ["pin", "npm", "private", "2", "--older", "1", *options])
    assert result.exit_code == 2 and "'UNLICENSED'" in result.stderr
    assert len(read_releases(path)) == 1


@pytest.mark.parametrize(
    ("file", "options"),
    [
        ("a-1-py3-none-any.whl", ["--python-version", "3.13"]),
        ("a-1-cp311-cp311-manylinux_2_17_x86_64.whl", ["--python-version", "3.11", "--platform=manylinux_2_17_x86_64"]),
        ("a-1-cp39-abi3-manylinux_2_28_x86_64.whl", ["--python-version", "3.13", "--platform=manylinux_2_28_x86_64"]),
    ],
)
def test_pip_is_asked_for_the_pinned_wheel(file: str, options: list[str]) -> None:
    assert _wheel_tags(file) == options
