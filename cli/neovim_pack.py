"""The Neovim plugin as a pack in the person's site directory, where Neovim finds it without any configuration."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

PLUGIN = Path(__file__).parent / "neovim"
OLDEST = (0, 11)
ASK_SECONDS = 20
CHECK_SECONDS = 150
"""The first start of the engine reads the weights."""
ENABLE = """\
-- Written by `diffill setup neovim`, taken away by `diffill setup neovim --remove`.
local config = vim.lsp.config.diffill
if config and vim.deep_equal(config.cmd, {{ 'diffill', 'lsp' }}) then
  vim.lsp.config('diffill', {{ cmd = {{ {program}, '-m', 'diffill.lsp_server' }} }})
end
vim.lsp.enable('diffill')
"""
_PLACE = "lua io.write(vim.json.encode({vim.fn.stdpath('data'), vim.version().major, vim.version().minor}))"
_CHECK = """\
local function status()
  local loaded, module = pcall(require, 'diffill')
  return loaded and module.status() or ''
end
vim.wait({milliseconds}, function() return status():match('ready') or status():match('failed') end, 100)
local reason = status() ~= '' and require('diffill.status').reason() or ''
local messages = vim.api.nvim_exec2('messages', {{ output = true }}).output
io.write('\\n' .. vim.json.encode({{ status(), reason, messages }}))
"""


@dataclass(frozen=True, kw_only=True)
class Neovim:
    """One installed Neovim."""

    program: str
    data: Path
    """Its data directory, as `stdpath('data')` says."""
    version: str

    @classmethod
    def find(cls, program: str) -> Neovim:
        """Ask a Neovim where it looks for plugins.

        Raises:
            ValueError: it is not there, does not answer, or is too old.
        """
        found = shutil.which(program)
        if found is None:
            raise ValueError(f"--nvim: {program}: there is no such program; install Neovim 0.11 or newer")
        answer = _run([found, "--clean", "--headless", "-c", _PLACE, "-c", "qa!"], ASK_SECONDS)
        try:
            data, major, minor = json.loads(answer)
        except ValueError:
            raise ValueError(
                f"--nvim: {program}: it does not answer as Neovim does: {answer.strip()[:200]!r}"
            ) from None
        if (major, minor) < OLDEST:
            raise ValueError(f"--nvim: {program}: it is version {major}.{minor}; Neovim 0.11 or newer is needed")
        return cls(program=found, data=Path(data), version=f"{major}.{minor}")

    @property
    def pack(self) -> Path:
        """What is ours alone: one folder, so that it can go without a trace."""
        return self.data / "site" / "pack" / "diffill"

    @property
    def _plugin(self) -> Path:
        return self.pack / "start" / "diffill"

    @property
    def _enable(self) -> Path:
        return self.pack / "start" / "enable" / "plugin" / "diffill_enable.lua"

    def install(self) -> None:
        """Put the plugin there, and what enables it with this Python. What stood there of ours is replaced.

        Raises:
            ValueError: something else stands there.
            OSError: it cannot be written.
        """
        self.remove()
        try:
            self._enable.parent.mkdir(parents=True)  # first, for by this file what lies beside it is known as ours
            self._enable.write_text(ENABLE.format(program=json.dumps(sys.executable)), "utf-8")
            try:
                self._plugin.symlink_to(PLUGIN.resolve(), target_is_directory=True)  # follows what pip upgrades
            except OSError:
                shutil.copytree(PLUGIN, self._plugin)
        except OSError:
            shutil.rmtree(self.pack, ignore_errors=True)
            raise

    def remove(self) -> bool:
        """Take it away again. Returns whether it was there.

        Raises:
            ValueError: what stands there is not ours.
            OSError: it cannot be removed.
        """
        if not self.pack.exists():
            return False
        ours = {self._plugin, self._enable.parents[1]} if self._enable.exists() else set()
        if strange := sorted(str(path.relative_to(self.pack)) for path in {*self.pack.glob("*/*")} - ours):
            raise ValueError(f"{self.pack}: it holds {', '.join(strange)}, which is not of this command; move it away")
        if self._plugin.is_symlink():  # the link goes, not what it points to
            self._plugin.unlink()
        elif self._plugin.exists():
            shutil.rmtree(self._plugin)
        shutil.rmtree(self.pack)
        with contextlib.suppress(OSError):  # others have plugins there
            self.pack.parent.rmdir()
            self.pack.parent.parent.rmdir()
        return True

    def check(self) -> str:
        """Open a file with the person's own configuration and wait until the model is ready. Returns the status.

        Raises:
            ValueError: it does not get ready; the message says what Neovim said.
        """
        with tempfile.TemporaryDirectory(prefix="diffill-") as directory:
            sample, script = Path(directory, "sample.py"), Path(directory, "check.lua")
            sample.write_text("def add(a, b):\n    return a\n", "utf-8")
            script.write_text(_CHECK.format(milliseconds=CHECK_SECONDS * 1000), "utf-8")
            command = [self.program, "--headless", "-n", str(sample), "-c", f"luafile {script}", "-c", "qa!"]
            answer = _run(command, CHECK_SECONDS + ASK_SECONDS)
        try:
            status, reason, messages = json.loads(answer.strip().splitlines()[-1])
        except (ValueError, IndexError):
            raise ValueError(f"Neovim did not get so far: {' '.join(answer.split())[:300]}") from None
        if status != "diffill: ready":
            said = " ".join(f"{reason} {messages}".split())
            raise ValueError(
                f"Neovim says {status or 'that Diffill is not attached'!r}: {said[:300] or 'nothing more'}"
            )
        return str(reason)


def _run(command: list[str], seconds: float) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise ValueError(f"{command[0]}: no answer within {seconds:g} s") from None
    return done.stdout or done.stderr
