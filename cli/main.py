"""The `diffill` command: a table of subcommands, each imported only when it is the one that runs."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence

import click

EXIT_INTERRUPTED = 130
COMMANDS = {
    "adapter": ("diffill.cli.adapter:adapter", "Install, choose and check adapters of the model."),
    "bench": ("diffill.cli.bench:bench", "Measure speed on this machine."),
    "complete": ("diffill.cli.complete:complete", "Complete the code at one position of a file."),
    "corpus": ("diffill.cli.corpus:corpus", "Build the text that a model is trained on."),
    "demo": ("diffill.cli.demo:demo", "Show the language server at work on sample files."),
    "doctor": ("diffill.cli.doctor:doctor", "Report what is found and chosen here, and why."),
    "engine": ("diffill.cli.engine:engine", "Start, stop or look at the warm engine."),
    "eval": ("diffill.cli.evaluate:evaluate", "Measure the quality of a checkpoint."),
    "finetune": ("diffill.cli.finetune:finetune", "Tune the model on a repository of yours."),
    "fix": ("diffill.cli.fix:fix", "Repair what the tools report in a file."),
    "lsp": ("diffill.cli.lsp:lsp", "Run the language server on stdio."),
    "remote": ("diffill.cli.remote:remote", "Train on a rented machine without a network."),
    "setup": ("diffill.cli.setup:setup", "Install the plugin of an editor and check it."),
    "stats": ("diffill.cli.stats:stats", "Report acceptance, retention and times on this machine."),
    "train": ("diffill.cli.train:train", "Make a model: start weights, rows, training stages, export."),
}


class LazyGroup(click.Group):
    """A group whose members are known by name and one-line help, and imported when invoked."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{attribute} is not a click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="diffill", prog_name="diffill")
@click.pass_context
def diffill(ctx: click.Context) -> None:
    """Code completion by denoising."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0 done, 1 ran and failed, 2 wrong usage or input, 130 Ctrl-C."""
    # A terminal that cannot show a character is no reason to fail.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = diffill.main(arguments, prog_name="diffill", standalone_mode=False)
        sys.stdout.flush()  # a closed pipe must show here, not in the interpreter's own last flush
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        click.echo(f"diffill: {' '.join(error.format_message().split())}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Nobody reads any more. Point stdout elsewhere so that the interpreter's last flush is silent too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status if isinstance(status, int) else 0


if __name__ == "__main__":
    sys.exit(main())
