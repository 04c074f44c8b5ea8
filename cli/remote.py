"""`diffill remote`: training on a rented machine that has no network and will be gone at a known time."""

from __future__ import annotations

from pathlib import Path

import click

from .problem import one_line

DIRECTORY = click.Path(path_type=Path, file_okay=False)


@click.group()
def remote() -> None:
    """Carry files in pieces; run a plan of commands in the background."""


@remote.command()
@click.argument("directory", type=DIRECTORY)
@click.option("--out", type=DIRECTORY, required=True, help="Empty or new directory for the pieces.")
@click.option(
    "--megabytes",
    type=click.FloatRange(0, min_open=True),
    default=16.0,
    show_default=True,
    help="Largest size of a piece.",
)
def split(directory: Path, out: Path, megabytes: float) -> None:
    """Split the files of DIRECTORY into pieces of at most --megabytes (2^20 bytes)."""
    from diffill.training.remote import pieces

    with one_line():
        made = pieces.split(directory, out, piece_bytes=int(megabytes * 2**20))
    click.echo(f"{len(made.files)} files in {len(made.pieces)} pieces", err=True)


@remote.command()
@click.argument("pieces", type=DIRECTORY)
@click.option("--out", type=DIRECTORY, required=True, help="Directory to write.")
def join(pieces: Path, out: Path) -> None:
    """Put the files together again that PIECES were made of."""
    from diffill.training.remote import pieces as module

    with one_line():
        module.join(pieces, out)


@remote.command()
@click.argument("plan", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("directory", type=DIRECTORY)
@click.option("--seconds", type=click.FloatRange(0, min_open=True), required=True, help="Until the deadline.")
def start(plan: Path, directory: Path, seconds: float) -> None:
    """Run PLAN in the background.

    PLAN is a JSON list of argument lists; its state and log are in DIRECTORY.

    `{seconds_left}` in an argument becomes the seconds until the deadline.
    """
    from diffill.training.remote import plan as module

    with one_line():
        module.start(plan, directory, seconds=seconds)


@remote.command()
@click.argument("directory", type=DIRECTORY)
@click.option("--seconds", type=click.FloatRange(0), default=3600.0, show_default=True, help="At most so long.")
@click.option("--metrics", type=click.Path(path_type=Path, dir_okay=False), help="A metrics file to show as well.")
@click.option("--quiet", is_flag=True, help="Only wait.")
def watch(directory: Path, seconds: float, metrics: Path | None, quiet: bool) -> None:
    """Show a plan's log until it is done. Exit code 1: a step failed, or the plan still runs."""
    from diffill.training.remote import plan as module

    with one_line():
        for line in module.watch(directory, seconds=seconds, metrics=metrics):
            if not quiet:
                click.echo(line)
        state = module.read_state(directory)
    if not state.done:
        raise click.ClickException(f"step {len(state.codes) + 1} of {len(state.steps)} still runs")
    if any(state.codes):
        raise click.ClickException(f"steps ended with exit codes {state.codes}")


@remote.command()
@click.argument("directory", type=DIRECTORY)
def finish(directory: Path) -> None:
    """End the step that runs; the plan goes on.

    A training stage saves its weights first.
    """
    from diffill.training.remote import plan as module

    with one_line():
        module.finish(directory)
