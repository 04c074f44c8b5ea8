"""Real git repositories, made by git itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from diffill.training.corpus.archives import git_directory
from diffill.training.corpus.manifest import Package

ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_COMMITTER_NAME": "A Person",
    "GIT_COMMITTER_EMAIL": "person@example.org",
}


class WorkTree:
    """A repository that files are committed to; `publish` makes the bare clone that a build reads."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str, author: str = "A Person <person@example.org>") -> str:
        name, _, email = author.rstrip(">").partition(" <")
        process = subprocess.run(
            ["git", *arguments],
            cwd=self.directory,
            env={**os.environ, **ENVIRONMENT, "GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": email},
            capture_output=True,
            text=True,
            check=True,
        )
        return process.stdout.strip()

    def commit(self, subject: str, files: dict[str, str | bytes], author: str = "A Person <person@example.org>") -> str:
        """Write `files`, commit everything, return the id."""
        for name, content in files.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", subject, author=author)
        return (self.directory / ".git/refs/heads/main").read_text().strip()

    def publish(self, archives: Path, name: str) -> Package:
        package = Package(kind="git", name=name, version=self.git("rev-parse", "HEAD"), licence="MIT")
        archives.mkdir(parents=True, exist_ok=True)
        self.git("clone", "--quiet", "--bare", ".", str(git_directory(archives, package)))
        return package


def import_versions(archives: Path, versions: Sequence[str]) -> Package:
    """A bare repository with one file `a.py` and one commit for each version; a single process of git makes it."""
    stream = b""
    for number, text in enumerate(versions):
        message = f"State {number} of it".encode()
        stream += b"commit refs/heads/main\n"
        stream += b"committer A Person <person@example.org> %d +0000\n" % (1_700_000_000 + number)
        stream += b"data %d\n%b\nM 100644 inline a.py\n" % (len(message), message)
        stream += b"data %d\n%b\n" % (len(text.encode()), text.encode())
    directory = archives / "owner+name.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(directory)], check=True, env={**os.environ, **ENVIRONMENT})
    subprocess.run(["git", "fast-import", "--quiet"], cwd=directory, input=stream, check=True)
    version = (directory / "refs/heads/main").read_text().strip()
    return Package(kind="git", name="owner/name", version=version, licence="MIT")


def module(*bodies: str) -> str:
    """A Python file that the corpus would take, with one function for each body."""
    functions = "".join(f"def compute_{n}(first, second):\n    {body}\n\n\n" for n, body in enumerate(bodies))
    return (
        '"""What is computed here, told at some length so that the file is not too small to be used."""\n\n' + functions
    )


BODIES = [f"total = first * {n} + second\n    return total - {n}" for n in range(6)]
