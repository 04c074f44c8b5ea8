"""`diffill setup`: bring an editor's plugin where the editor finds it, and look whether it works."""

from __future__ import annotations

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
