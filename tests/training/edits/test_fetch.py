"""Sources of edit pairs are fetched by the real git from a repository on this disk."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pygit2
import pytest
from click.testing import CliRunner

from diffill.cli.corpus import corpus
from diffill.training.config import dump_config
from diffill.training.corpus.archives import git_directory
from diffill.training.corpus.manifest import Package, write_manifest
from diffill.training.edits import fetch as module
from diffill.training.edits.build import BuildConfig
from tests.training.git_repository import WorkTree

NAME = "owner/name"


@pytest.fixture
def pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """The second of three commits."""
    monkeypatch.setattr(module, "GIT_URL", f"file://{tmp_path}/{{name}}")
    tree = WorkTree(tmp_path / NAME)
    commits = [tree.commit(f"State {number}", {"a.py": f"x = {number}\n"}) for number in range(3)]
    return Package(kind="git", name=NAME, version=commits[1], licence="MIT")


def states(archives: Path, package: Package) -> int:
    repository = pygit2.Repository(str(git_directory(archives, package)))
    return len(list(repository.walk(package.version)))


@pytest.mark.parametrize("shallow", [False, True], ids=["nothing", "one commit"])
def test_a_history_is_whole_up_to_its_pin(tmp_path: Path, pinned: Package, shallow: bool) -> None:
    archives = tmp_path / "archives"
    archives.mkdir()
    if shallow:  # as the corpus clones it
        path = str(git_directory(archives, pinned))
        module.run_client(["git", "init", "--quiet", "--bare", path], archives)
        url = f"file://{tmp_path / NAME}"
        module.run_client(["git", "-C", path, "fetch", "--quiet", "--depth=1", url, pinned.version], archives)
        assert states(archives, pinned) == 1
    module.fetch_history(pinned, archives)
    assert states(archives, pinned) == 2
    (tmp_path / NAME).rename(tmp_path / "gone")
    module.fetch_history(pinned, archives)  # nothing is missing, nobody is asked


def test_the_command_names_what_it_could_not_get(tmp_path: Path, pinned: Package) -> None:
    histories = tmp_path / "histories.json"
    missing = msgspec.structs.replace(pinned, name="owner/absent")
    write_manifest(histories, [missing, pinned])
    path = tmp_path / "edits.json"
    path.write_bytes(
        dump_config(BuildConfig(out=tmp_path / "edits", archives=tmp_path / "archives", histories=histories))
    )
    result = CliRunner().invoke(corpus, ["fetch-edits", "--config", str(path)])
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-2].startswith("diffill: owner/absent ")
    assert states(tmp_path / "archives", pinned) == 2, "the others are there"
