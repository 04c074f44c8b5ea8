"""Adapters installed for this user, and which of them each workspace uses. No torch.

DIRECTORY/NAME-HASH/{manifest.json, adapter-*.safetensors}
DIRECTORY/choices.json
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from .adapter_manifest import MANIFEST_FILE, REPORT_FILES, Manifest, read_manifest

CHOICES_FILE = "choices.json"
EVERYWHERE = ""
"""In place of a workspace: those that have no choice of their own."""
BASE = ""
"""In place of an adapter: the model as it ships."""
NAME = re.compile(r"[A-Za-z0-9][\w.-]*$")


class Choices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """By workspace, everything that was chosen; the last one is used."""

    workspaces: dict[str, list[str]] = {}


@dataclass(frozen=True, kw_only=True)
class Installed:
    """One adapter of the store."""

    key: str
    """Name and hash; the directory's name."""
    path: Path
    manifest: Manifest


class AdapterStore:
    """A directory of the user's; nothing in it is ever changed, only added, chosen and read."""

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or default_store()

    def install(self, source: Path) -> Installed:
        """Copy an adapter that was checked (`adapter.load_adapter`); the same one twice is one.

        Raises:
            ValueError: it has no usable name, or cannot be copied.
        """
        manifest = read_manifest(source)
        if not NAME.match(manifest.name):
            raise ValueError(f"adapter: its name {manifest.name!r} is no file name of letters, digits and . _ -")
        key = f"{manifest.name}-{manifest.factors.sha256[:12]}"
        path = self.directory / key
        if not path.exists():
            try:
                self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
                beside = Path(tempfile.mkdtemp(prefix=".installing-", dir=self.directory))
                try:
                    for name in (MANIFEST_FILE, manifest.factors.file):
                        shutil.copyfile(source / name, beside / name)
                    for name in filter(lambda name: (source / name).is_file(), REPORT_FILES):
                        shutil.copyfile(source / name, beside / name)
                    beside.rename(path)
                finally:
                    shutil.rmtree(beside, ignore_errors=True)
            except OSError as error:
                raise ValueError(f"adapter: cannot install to {path}: {error.strerror}") from None
        return Installed(key=key, path=path, manifest=manifest)

    def installed(self) -> list[Installed]:
        """By key. Raises ValueError when one is broken."""
        paths = sorted(self.directory.glob(f"[!.]*/{MANIFEST_FILE}"))
        return [
            Installed(key=path.parent.name, path=path.parent, manifest=read_manifest(path.parent)) for path in paths
        ]

    def find(self, name: str) -> Installed:
        """By key, or by a name that only one has.

        Raises:
            ValueError: there is none, or there are several.
        """
        found = [one for one in self.installed() if name in (one.key, one.manifest.name)]
        if len(found) == 1:
            return found[0]
        if found:
            raise ValueError(f"NAME: several adapters are called {name}: {', '.join(one.key for one in found)}")
        raise ValueError(f"NAME: no adapter called {name} is installed; `diffill adapter list` shows them")

    def that_saw(self, path: str) -> list[tuple[Installed, list[str]]]:
        """Adapters that were made of a file, or of files below a folder, each with the files.

        Args:
            path: below the top of the repository, or the end of such a path.

        Raises:
            ValueError: it names nothing, or an installed adapter is broken.
        """
        wanted = PurePosixPath(path).parts
        if not wanted or wanted[0] in ("/", ".."):
            raise ValueError(f"PATH: {path} is not below the top of a repository")
        found = [
            (one, [name for name in sorted(one.manifest.data.files) if _holds(name, wanted)])
            for one in self.installed()
        ]
        return [(one, files) for one, files in found if files]

    def use(self, key: str, workspace: Path | None) -> None:
        """Choose an adapter, or `BASE`, for a workspace, or for all that have no choice of their own."""
        name = _name(workspace)
        workspaces = self.choices().workspaces
        if (made := workspaces.get(name, []))[-1:] != [key]:
            self._write(Choices(workspaces=workspaces | {name: [*made, key]}))

    def rollback(self, workspace: Path | None) -> str:
        """Take the last choice back; returns the key that is used now, or `BASE`.

        Raises:
            ValueError: nothing was chosen.
        """
        name = _name(workspace)
        workspaces = dict(self.choices().workspaces)
        if not workspaces.get(name):
            raise ValueError(f"--workspace: nothing was chosen for {name or 'all workspaces'}")
        *made, _ = workspaces.pop(name)
        self._write(Choices(workspaces=workspaces | ({name: made} if made else {})))
        return made[-1] if made else BASE

    def chosen(self, place: Path) -> Path | None:
        """The adapter of the nearest workspace around a path, or that of all; None is the base.

        Raises:
            ValueError: it is not installed any more, or the choices cannot be read.
        """
        workspaces = self.choices().workspaces
        around = place.resolve()
        names = (*map(str, (around, *around.parents)), EVERYWHERE)
        key = next((workspaces[name][-1] for name in names if workspaces.get(name)), BASE)
        if key == BASE:
            return None
        path = self.directory / key
        if not path.is_dir():
            raise ValueError(f"adapter: {key} is chosen but not installed; `diffill adapter rollback` takes it back")
        return path

    def choices(self) -> Choices:
        """Raises ValueError when they cannot be read."""
        path = self.directory / CHOICES_FILE
        try:
            return msgspec.json.decode(path.read_bytes(), type=Choices)
        except FileNotFoundError:
            return Choices()
        except (OSError, msgspec.MsgspecError) as error:
            raise ValueError(f"adapter: cannot read {path}: {error}") from None

    def _write(self, choices: Choices) -> None:
        path = self.directory / CHOICES_FILE
        beside = path.with_name(f".{CHOICES_FILE}.{os.getpid()}")
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            beside.write_bytes(msgspec.json.format(msgspec.json.encode(choices)) + b"\n")
            beside.replace(path)
        except OSError as error:
            raise ValueError(f"adapter: cannot write {path}: {error.strerror}") from None


def default_store() -> Path:
    """Where the user's data lies on this system."""
    import platformdirs

    return platformdirs.user_data_path("diffill", appauthor=False) / "adapters"


def _holds(name: str, wanted: tuple[str, ...]) -> bool:
    """Whether a path is `wanted`, lies below it or ends in it."""
    parts = PurePosixPath(name).parts
    return parts[: len(wanted)] == wanted or parts[-len(wanted) :] == wanted


def _name(workspace: Path | None) -> str:
    return EVERYWHERE if workspace is None else str(workspace.resolve())
