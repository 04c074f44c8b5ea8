"""`diffill corpus`: archives, pinned and fetched, to the documents that a model is trained on."""

from __future__ import annotations

import contextlib
import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .edits import edits, faults, fetch_edits
from .options import json_option

if TYPE_CHECKING:
    from diffill.training.corpus.report import Report

SIZE = re.compile(r"(\d+)\s*(KiB|MiB|GiB)?$", re.IGNORECASE)
UNITS = {"": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}

directory_option = click.option("--out", type=click.Path(path_type=Path), required=True, help="Directory to write.")
config_option = click.option(
    "--config", "path", type=click.Path(path_type=Path), required=True, help="Configuration of the corpus."
)
processes_option = click.option("--processes", type=click.IntRange(min=1), help="All cores by default.")


@click.group()
def corpus() -> None:
    """Fetch pinned archives, build the corpus, carry it elsewhere."""


corpus.add_command(fetch_edits)
corpus.add_command(edits)
corpus.add_command(faults)


@corpus.command()
@click.argument("kind", type=click.Choice(["pypi", "npm", "debian", "git"]))
@click.argument("name")
@click.argument("version")
@click.option("--language", "languages", multiple=True, help="Take only this one; all by default.")
@click.option("--older", metavar="VERSION", help="Pin this release too, into a manifest of pairs of releases.")
@click.option("--manifest", "path", type=click.Path(path_type=Path), required=True)
@click.option("--archives", type=click.Path(path_type=Path), required=True, help="Where archives are kept.")
def pin(
    kind: Any, name: str, version: str, languages: tuple[str, ...], older: str | None, path: Path, archives: Path
) -> None:
    """Download one package and add it to a manifest, with its hashes and the licence that its own files state."""
    from diffill.training.corpus.fetch import pin
    from diffill.training.corpus.manifest import Package, add_to_manifest
    from diffill.training.edits.releases import Releases, add_to_releases

    with _one_line():
        wanted = [
            Package(kind=kind, name=name, version=one, licence="", languages=languages)
            for one in ([older, version] if older else [version])
        ]
        pinned = [pin(package, archives) for package in wanted]
        if older:
            add_to_releases(path, Releases(older=pinned[0], newer=pinned[1]))
        else:
            add_to_manifest(path, pinned[0])


@corpus.command()
@config_option
def fetch(path: Path) -> None:
    """Download the archives that are missing; nothing is installed.

    With pip, npm, apt-get and git.
    """
    from diffill.training.config import read_config
    from diffill.training.corpus.build import CorpusConfig, read_manifests
    from diffill.training.corpus.fetch import fetch

    with _one_line(), _bars() as show:
        config = read_config(path, CorpusConfig)
        problems = fetch(
            read_manifests(config), config.archives, on_progress=lambda done, total: show("fetch", done, total)
        )
    for problem in problems:
        click.echo(f"diffill: {problem}", err=True)
    if problems:
        raise click.ClickException(f"{len(problems)} packages could not be fetched; the others are there")


@corpus.command()
@config_option
@json_option
def build(path: Path, as_json: bool) -> None:
    """Build the documents and tokens from the archives; a stopped run goes on."""
    from diffill.training.config import read_config
    from diffill.training.corpus.build import CorpusConfig, build

    _end_gently()
    with _one_line(), _bars() as show:
        report = build(read_config(path, CorpusConfig), on_progress=show)
    if as_json:
        click.echo(json.dumps(report.to_json()))
    else:
        _print_report(report)


@corpus.command()
@click.argument("source", metavar="CORPUS", type=click.Path(path_type=Path))
@directory_option
@click.option("--pieces", default="55MiB", show_default=True, help="Largest size of one piece.")
@click.option("--level", type=click.IntRange(1, 22), default=19, show_default=True, help="Of zstd; 12 is far faster.")
@processes_option
def bundle(source: Path, out: Path, pieces: str, level: int, processes: int | None) -> None:
    """Pack a corpus into a few strongly compressed pieces."""
    from diffill.training.corpus.bundle import bundle

    with _one_line(), _bars() as show:
        made = bundle(source, out, piece_size=_size(pieces), level=level, processes=processes, on_progress=show)
    click.echo(json.dumps(made.pieces, indent=2))


@corpus.command()
@click.argument("source", metavar="BUNDLE", type=click.Path(path_type=Path))
@directory_option
@click.option("--tokenizer", type=click.Path(path_type=Path), help="Checkpoint directory; makes token shards too.")
@processes_option
def unbundle(source: Path, out: Path, tokenizer: Path | None, processes: int | None) -> None:
    """Make the corpus of a bundle again, without a network."""
    from diffill.training.corpus.bundle import unbundle

    with _one_line(), _bars() as show:
        index = unbundle(source, out, tokenizer=tokenizer, processes=processes, on_progress=show)
    click.echo(
        json.dumps(
            {
                "documents": sum(shard.documents for shard in index.documents),
                "characters": sum(shard.characters for shard in index.documents),
                "tokens": sum(entry.tokens for entry in index.tokens),
            }
        )
    )


def _size(text: str) -> int:
    match = SIZE.match(text.strip())
    if match is None or not int(match.group(1)):
        raise ValueError(f"--pieces: {text!r} is not a size such as 55MiB")
    return int(match.group(1)) * UNITS[(match.group(2) or "").lower()]


def _print_report(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table

    kept = Table("language", "documents", "characters", "tokens", title="kept")
    for name, tally in sorted(report.languages.items(), key=lambda item: -item[1].characters):
        kept.add_row(name, f"{tally.documents:,}", f"{tally.characters:,}", f"{report.tokens.get(name, 0):,}")
    refused = Table("reason", "documents", title="refused")
    for reason, count in report.refused_by_reason().most_common():
        refused.add_row(reason, f"{count:,}")
    console = Console(stderr=True)
    console.print(kept, refused)
    for package in report.refused_packages:
        console.print(f"left out: {package.package}: {package.reason}", markup=False, highlight=False)


def _end_gently() -> None:
    """Both signals end a run as Ctrl-C does. By hand: a job in a shell's background starts with SIGINT ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


@contextlib.contextmanager
def _bars() -> Iterator[Callable[[str, int, int], None]]:
    """One bar for each stage, with its rate and the time that is left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (
        *(TextColumn("{task.description:12}"), BarColumn(), MofNCompleteColumn()),
        *(TextColumn("{task.fields[rate]}"), TimeRemainingColumn()),
    )
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total, rate="")
            elapsed = progress.tasks[list(tasks).index(stage)].elapsed or 0.0
            rate = f"{done / elapsed:.1f}/s" if elapsed > 0 else ""
            progress.update(tasks[stage], completed=done, total=total, rate=rate)

        yield show


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """Turns a user's error into one line and exit code 2."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from None
