"""What edit pairs are made from: both archives of every pair of releases, and histories as bare clones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pygit2

from ..corpus.archives import git_directory
from ..corpus.fetch import GIT_URL, fetch, run_client
from ..corpus.manifest import Package, read_manifest
from .build import BuildConfig
from .releases import read_releases


def fetch_sources(
    config: BuildConfig, *, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> list[str]:
    """Download what is missing; returns one line for each source that could not be had.

    Raises:
        ValueError: a manifest is unreadable.
    """
    releases = [] if config.releases is None else read_releases(config.releases)
    archives = [package for pair in releases for package in (pair.older, pair.newer)]
    histories = [] if config.histories is None else read_manifest(config.histories)
    total = len(archives) + len(histories)
    problems = fetch(archives, config.archives, on_progress=lambda done, _: on_progress(done, total))
    for done, package in enumerate(histories, start=len(archives) + 1):
        try:
            fetch_history(package, config.archives)
        except ValueError as error:
            problems.append(f"{package.label}: {error}")
        on_progress(done, total)
    return problems


def fetch_history(package: Package, directory: Path) -> None:
    """All commits up to the pinned one; a clone without its history, as the corpus makes them, is completed.

    Raises:
        ValueError: git failed; its last line.
    """
    path = git_directory(directory.resolve(), package)
    if not path.exists():
        run_client(["git", "init", "--quiet", "--bare", str(path)], directory)
    repository = pygit2.Repository(str(path), pygit2.enums.RepositoryOpenFlag.NO_SEARCH)
    whole = ["--unshallow"] if repository.is_shallow else []
    if whole or package.version not in repository:
        url = GIT_URL.format(name=package.name)
        pinned = f"+{package.version}:refs/heads/pinned"  # what no reference holds is thrown away in time
        run_client(["git", "-C", str(path), "fetch", "--quiet", *whole, url, pinned], directory)
