"""`diffill setup`: bring an editor's plugin where the editor finds it, and look whether it works."""

from __future__ import annotations

import asyncio

import click

from .problem import one_line


@click.group()
def setup() -> None:
    """Install the plugin of an editor, or take it away again."""


@setup.command()
@click.option("--nvim", default="nvim", show_default=True, help="The Neovim to install it for.")
@click.option("--remove", is_flag=True, help="Take away what this command installed.")
def neovim(nvim: str, remove: bool) -> None:
    """Install the Neovim plugin as a pack, enable it and check it. Your configuration is not touched."""
    from .neovim_pack import Neovim

    with one_line():
        editor = Neovim.find(nvim)
        if remove:
            gone = editor.remove()
            click.echo(f"{'removed' if gone else 'nothing was installed in'} {editor.pack}")
            return
        editor.install()
    click.echo(f"installed in {editor.pack}; checking it in Neovim {editor.version}")
    try:
        reason = editor.check()
    except ValueError as error:
        raise click.ClickException(f"installed, but not working yet: {error}; see :checkhealth diffill") from None
    click.echo(f"works: {reason}")
    click.echo("No key is taken. To accept with Tab: vim.keymap.set('i', '<Tab>', '<Plug>(diffill-accept)')")


@setup.command()
@click.option("--code", metavar="PROGRAM", help="The editor's command; all of its family on PATH by default.")
@click.option("--remove", is_flag=True, help="Take away what this command installed.")
def vscode(code: str | None, remove: bool) -> None:
    """Install the extension into VS Code and its kin, and check it. Your settings are not touched."""
    from .editor_session import ServerError
    from .vscode_extension import VSCode, interpreter_note, note_interpreter

    with one_line():
        editors = VSCode.find(code)
        if remove:
            for editor in editors:
                click.echo(f"{'removed from' if editor.remove() else 'nothing was installed in'} {editor.program}")
            interpreter_note().unlink(missing_ok=True)
            return
        for editor in editors:
            click.echo(f"installed {editor.install()} in {editor.program}")
        click.echo(f"{note_interpreter()} names this Python; checking the server")
    try:
        reason = asyncio.run(_server_status())
    except ServerError as error:
        raise click.ClickException(f"installed, but not working yet: {error}; see `diffill doctor`") from None
    click.echo(f"works: {reason}")
    click.echo("Tab accepts, Esc hides. Windows that are open already: run `Developer: Reload Window`.")


async def _server_status() -> str:
    """The server as the extension starts it, until the model is loaded; what it says then."""
    from .editor_session import EditorSession

    said: list[str] = []
    async with EditorSession(on_status=lambda status: said.append(str(status.get("message", "")))) as session:
        await session.wait_ready()
    return said[-1] if said else "the server is ready"
