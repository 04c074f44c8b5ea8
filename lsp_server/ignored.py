"""Which files the model may be shown: none that git or the person ignores, and none that are there to hold secrets."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlparse
from urllib.request import url2pathname

import pathspec

IGNORE_FILES = (".gitignore", ".diffillignore")
_SECRET_FILES = pathspec.GitIgnoreSpec.from_lines(
    [
        *(".env", ".env.*", "*.env", "!.env.example", "!.env.sample", "!.env.template", ".envrc", ".netrc", ".npmrc"),
        *(".pypirc", ".htpasswd", ".pgpass", ".git-credentials", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.ppk"),
        *("*.keystore", "*.kdbx", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "credentials", "credentials.*"),
        *("secrets.*", ".aws/", ".ssh/", ".gnupg/", ".kube/", "*.tfvars", "*.tfstate"),
    ],
)


def path_of(uri: str) -> Path | None:
    """The file that a URI names; None when it is not a local file."""
    parsed = urlparse(uri)
    return Path(url2pathname(unquote(parsed.path))) if parsed.scheme == "file" and not parsed.netloc else None


def is_secret_file(path: Path) -> bool:
    """Whether a file's name says that it holds secrets."""
    return _SECRET_FILES.match_file("/".join(path.parts[-3:]).lstrip("/"))


class IgnoreRules:
    """The rules of a workspace: every ignore file between its root and the file in question."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def may_show(self, path: Path) -> bool:
        """Whether the model may be shown this file. Links are followed first; what leads out of the root may not."""
        relative = self._relative(path)
        return relative is not None and not is_secret_file(relative) and not self._names(relative, IGNORE_FILES)

    def keeps_out(self, path: Path) -> bool:
        """Whether the person asked to leave this file alone, which is more than not to commit it."""
        relative = self._relative(path)
        return relative is not None and self._names(relative, IGNORE_FILES[1:])

    def _relative(self, path: Path) -> Path | None:
        try:
            return path.resolve().relative_to(self.root.resolve()) if not is_secret_file(path) else None
        except (OSError, ValueError):
            return None

    def _names(self, relative: Path, files: tuple[str, ...]) -> bool:
        """Whether an ignore file of these, here or in a folder on the way, names the file or such a folder."""
        directory = self.root.resolve()
        for depth, part in enumerate(relative.parts):
            rest = "/".join(relative.parts[depth:])
            for name in files:
                spec = _spec(directory / name)
                if spec is not None and spec.match_file(rest):
                    return True
            directory = directory / part
        return False

    @staticmethod
    def forget() -> None:
        """Read the ignore files again: one of them changed."""
        _spec.cache_clear()


@lru_cache(maxsize=1024)
def _spec(path: Path) -> pathspec.GitIgnoreSpec | None:
    try:
        return pathspec.GitIgnoreSpec.from_lines(path.read_text("utf-8", "replace").splitlines())
    except (OSError, ValueError):  # there is none, or it is not one
        return None
