"""The VS Code extension, brought in through the editor's own command line; it is told which Python has the server."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import platformdirs

PROGRAMS = ("code", "code-insiders", "codium", "code-server", "cursor", "windsurf")
IDENTIFIER = "diffill.diffill"
PACKED = Path(__file__).parent / "diffill.vsix"
"""Part of a released package; in a checkout `make extension` puts it here."""
SECONDS = 120


def interpreter_note() -> Path:
    """Where the extension reads the Python to start the server with, if the person has set none."""
    return platformdirs.user_data_path("diffill", appauthor=False) / "interpreter"


@dataclass(frozen=True, kw_only=True)
class VSCode:
    """One editor of the family, by its command line."""

    program: str

    @classmethod
    def find(cls, program: str | None) -> list[VSCode]:
        """The editor that is named, else all that are on PATH.

        Raises:
            ValueError: there is none.
        """
        found = [place for name in ([program] if program else PROGRAMS) if (place := shutil.which(name)) is not None]
        if not found:
            names = program or ", ".join(PROGRAMS)
            raise ValueError(f"--code: {names}: there is no such program on PATH; in VS Code, run the command `Shell "
                             "Command: Install 'code' command in PATH` first")  # fmt: skip
        return [cls(program=place) for place in found]

    def install(self) -> str:
        """Install the extension, or bring it up to date, and ask the editor for it. Returns its version.

        Raises:
            ValueError: it is not packed, or the editor does not take it.
        """
        if not PACKED.is_file():
            raise ValueError("the extension is not packed yet; run `make extension` in the checkout (it needs Node 20)")
        self._run("--install-extension", str(PACKED), "--force")
        version = self.installed()
        if version is None:
            raise ValueError(f"{self.program}: it took the extension and does not list it")
        return version

    def remove(self) -> bool:
        """Take the extension away again. Returns whether it was there."""
        if self.installed() is None:
            return False
        self._run("--uninstall-extension", IDENTIFIER)
        return True

    def installed(self) -> str | None:
        """The version of the extension that the editor has."""
        for line in self._run("--list-extensions", "--show-versions").splitlines():
            name, _, version = line.strip().partition("@")
            if name.casefold() == IDENTIFIER:
                return version
        return None

    def _run(self, *arguments: str) -> str:
        command = [self.program, *arguments]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL, check=False
            )
        except subprocess.TimeoutExpired:
            raise ValueError(f"{self.program}: no answer within {SECONDS} s") from None
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise ValueError(f"{self.program} {arguments[0]}: {said[-1] if said else f'exit {done.returncode}'}")
        return done.stdout


def note_interpreter() -> Path:
    """Tell the extension about this Python. Returns the file that says so.

    Raises:
        OSError: it cannot be written.
    """
    note = interpreter_note()
    note.parent.mkdir(parents=True, exist_ok=True)
    beside = note.with_suffix(".new")
    beside.write_text(f"{sys.executable}\n", "utf-8")
    beside.replace(note)
    return note
