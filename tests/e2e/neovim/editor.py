"""One real Neovim on a terminal: keys go in through tmux, what it holds is read over its own socket."""

from __future__ import annotations

import io
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pynvim
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[3]
PICTURES = ROOT / "build" / "screenshots"
COLUMNS, LINES = 100, 30
HANG_GUARD_SECONDS = 90.0
NEXT_KEY_SECONDS = 10.0
POLL_SECONDS = 0.01
NAMESPACES = ("nvim.lsp.inline_completion", "diffill.ghost_text")
_Found = TypeVar("_Found")


def wait_for(what: str, find: Callable[[], _Found], seconds: float = HANG_GUARD_SECONDS) -> _Found:
    """The first true answer."""
    end = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(POLL_SECONDS)
    return found


@dataclass(frozen=True, kw_only=True)
class Home:
    """A person's Neovim with its configuration, data and logs, all apart from this machine's own."""

    program: Path
    directory: Path
    environment: dict[str, str]

    @classmethod
    def create(cls, program: Path, directory: Path, *, init: str, engine: dict[str, str]) -> Home:
        names = {f"XDG_{name.upper()}_HOME": str(directory / name) for name in ("config", "data", "state", "cache")}
        (directory / "config" / "nvim").mkdir(parents=True)
        (directory / "config" / "nvim" / "init.lua").write_text(init, "utf-8")
        return cls(program=program, directory=directory, environment=names | engine)

    @property
    def log(self) -> Path:
        return self.directory / "state" / "nvim" / "lsp.log"

    def errors(self) -> list[str]:
        """Lines that Neovim's language client takes for errors or warnings; what ruff writes for itself is not ours."""
        lines = self.log.read_text("utf-8").splitlines() if self.log.exists() else []
        return [line for line in lines if line.startswith(("[ERROR]", "[WARN]")) and '/ruff"' not in line]


@dataclass(kw_only=True, eq=False)
class Editor:
    """A running Neovim. `lua` and `api` look inside; only `keys` and `text` act as the person does."""

    home: Home
    socket: Path
    session: str
    _nvim: pynvim.Nvim = field(init=False)
    _process: psutil.Process | None = field(init=False, default=None)

    def start(self, *files: Path, before: str = "") -> None:
        """Open files; `before` is Lua that runs ahead of the person's configuration."""
        terminal = {"TERM": "screen-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
        environment = terminal | self.home.environment
        command = [str(self.home.program), "-n", "--listen", str(self.socket)]
        command += ["--cmd", f"lua {before}"] if before else []
        pairs = [f"{name}={value}" for name, value in environment.items()]
        self._tmux("new-session", "-d", "-x", str(COLUMNS), "-y", str(LINES), "env", *pairs, *command, *map(str, files))
        self._tmux("set-option", "-s", "escape-time", "0")
        self._nvim = wait_for("Neovim", self._reached)
        wait_for("its start", self._has_started)  # a file that is opened before has no file type
        self._process = psutil.Process(self._nvim.eval("getpid()"))

    def open(self, file: Path) -> None:
        """Leave everything and open one file."""
        self.keys("Escape")
        self.nvim.api.cmd({"cmd": "fclose", "bang": True}, {})  # a diff that was left open
        self.nvim.api.cmd({"cmd": "only", "bang": True}, {})
        self.nvim.api.cmd({"cmd": "bwipeout", "bang": True, "args": []}, {})
        self.nvim.api.cmd({"cmd": "edit", "bang": True, "args": [str(file)]}, {})
        self.nvim.api.cmd({"cmd": "messages", "args": ["clear"]}, {})
        self.wait_ready()

    def wait_ready(self) -> None:
        wait_for("the model", lambda: self.lua("return require('diffill').status()") == "diffill: ready")

    def close(self) -> None:
        """As the terminal's window is closed. The servers go with it: one that stayed would start an engine anew."""
        processes: list[psutil.Process] = []
        if self._process is not None:
            self._nvim.close()
            if self._process.is_running():
                processes = [self._process, *self._process.children()]
        self._tmux("kill-server")
        _, alive = psutil.wait_procs(processes, timeout=HANG_GUARD_SECONDS)
        assert not alive, alive

    # As the person does

    def text(self, text: str) -> None:
        """Type characters."""
        self._tmux("send-keys", "-l", text)

    def text_and_ghost(self, text: str) -> tuple[str, str]:
        """Type at the end of a line; the ghost text that comes, and the line before it."""
        self.text(text)
        wait_for(f"{text!r} at the end of {self.line()!r}", lambda: self.line().endswith(text))
        return self.wait_ghost(), self.line()

    def keys(self, *names: str) -> None:
        """Press keys, by tmux's names."""
        for name in names:
            self._tmux("send-keys", name)
            if name == "Escape":  # or the next key is taken for Alt with it
                wait_for("normal mode", lambda: self.nvim.api.get_mode()["mode"] == "n")

    def burst(self, *names: str) -> None:
        """Press keys faster than Neovim takes them."""
        self._tmux("send-keys", *names)

    def command(self, line: str) -> None:
        """Type a command line."""
        self.keys("Escape")
        self.text(f":{line}")
        self.keys("Enter")

    def screen(self) -> str:
        """What the terminal shows."""
        return self._tmux("capture-pane", "-p", "-e")

    def wait_screen(self, part: str) -> None:
        """The terminal draws a moment after Neovim knows."""
        wait_for(f"{part!r} on the screen", lambda: part in self.screen())

    def picture(self, name: str) -> None:
        """Keep what the terminal shows, for people to look at: build/screenshots/neovim-VERSION-NAME.svg."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        console = Console(record=True, file=io.StringIO(), width=COLUMNS)
        console.print(Text.from_ansi(self.screen()), soft_wrap=True)
        title = f"{self.home.program.name.replace('nvim', 'neovim')}-{name}"
        console.save_svg(str(PICTURES / f"{title}.svg"), title=title)

    # What is the case

    @property
    def nvim(self) -> pynvim.Nvim:
        """Its own interface, which answers nothing but this question while Neovim waits for a key.

        Between two keys of one command it does so for a moment.
        """
        end = time.monotonic() + NEXT_KEY_SECONDS
        while self._nvim.api.get_mode()["blocking"]:
            assert time.monotonic() < end, self.screen()
            time.sleep(POLL_SECONDS)
        return self._nvim

    def lua(self, code: str, *arguments: Any) -> Any:
        return self.nvim.exec_lua(code, *arguments)

    def ghost(self) -> str:
        """The ghost text on the screen, empty when there is none."""
        spaces = self.nvim.api.get_namespaces()
        for space in (spaces[name] for name in NAMESPACES if name in spaces):
            for *_, details in self.nvim.api.buf_get_extmarks(0, space, 0, -1, {"details": True}):
                lines = [details.get("virt_text", []), *details.get("virt_lines", [])]
                return "\n".join("".join(chunk[0] for chunk in line) for line in lines)
        return ""

    def wait_ghost(self) -> str:
        """Ghost text that stays: between a key and what it sets off, the old one is still there."""
        seen = [("", "")]

        def staying() -> str:
            seen.append((self.line(), self.ghost()))
            return seen[-1][1] if seen[-1] == seen[-2] else ""

        return wait_for("ghost text", staying)

    # Each is one question: between two, a window may be closed.

    def lines(self) -> list[str]:
        return list(self.nvim.api.buf_get_lines(0, 0, -1, True))

    def line(self) -> str:
        return str(self.nvim.api.get_current_line())

    def filetype(self) -> str:
        return str(self.nvim.api.get_option_value("filetype", {"buf": 0}))

    def cursor(self) -> tuple[int, int]:
        """Line and column, as Neovim counts them."""
        line, column = self.nvim.api.win_get_cursor(0)
        return line, column

    def wait_line(self, expected: str) -> None:
        wait_for(f"the line {expected!r}, not {self.line()!r}", lambda: self.line() == expected, 20)

    def messages(self) -> str:
        return str(self.nvim.api.exec2("messages", {"output": True})["output"])

    def _reached(self) -> pynvim.Nvim | None:
        """A connection to it, once it listens: its socket is there a moment earlier."""
        try:
            return pynvim.attach("socket", path=str(self.socket))
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    def _has_started(self) -> bool:
        is_free = not self._nvim.api.get_mode()["blocking"]
        return is_free and self._nvim.api.get_vvar("vim_did_enter") == 1

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self.session, "-f", os.devnull, *arguments], capture_output=True, text=True, check=False
        )
        return done.stdout
