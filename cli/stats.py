"""`diffill stats`: what was offered, taken and kept on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .options import json_option

if TYPE_CHECKING:
    from diffill.lsp_server.usage_report import UsageReport


@click.command()
@click.option("--days", type=click.FloatRange(min=0, min_open=True), metavar="N", help="Of the last N days only.")
@json_option
def stats(days: float | None, as_json: bool) -> None:
    """Report acceptance, retention and times, as the language server noted them.

    Only numbers and language ids are kept, in one bounded file on this machine; nothing is sent anywhere.
    """
    from diffill.lsp_server.usage_report import usage_report

    try:
        report = usage_report(days=days)
    except OSError as error:
        raise click.ClickException(f"{error.filename}: cannot be read: {error.strerror}") from None
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(report))
    else:
        _show(report)


def _show(report: UsageReport) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    console.print(f"{report.file}, {report.days:.1f} days")
    if not report.requests and not report.repairs:
        console.print("nothing was recorded yet")
        return
    console.print(
        f"{report.requests} requests while typing: shown {_percent(report.show_rate)}, "
        f"quiet {_percent(report.quiet_rate)}\n"
        f"{report.accepted} accepted ({_percent(report.acceptance_rate)} of the shown), "
        f"{report.accepted_in_part} in part, {report.accepted_characters} characters"
    )
    if report.latency:
        table = Table("answers from", "n", "p50 ms", "p95 ms", box=SIMPLE, pad_edge=False)
        for source, times in report.latency.items():
            table.add_row(source, str(times.n), f"{times.p50_ms:.0f}", f"{times.p95_ms:.0f}")
        console.print(table)
    if report.retained:
        table = Table("seconds after", "completions", "characters kept", box=SIMPLE, pad_edge=False)
        for after, kept in report.retained.items():
            table.add_row(after, str(kept.n), _percent(kept.share))
        console.print(table)
    if report.repairs:
        table = Table("asked for", "n", "verified", "not verified", "p50 ms", box=SIMPLE, pad_edge=False)
        for kind, repairs in report.repairs.items():
            row = (kind, repairs.n, repairs.verified, repairs.not_verified, f"{repairs.times.p50_ms:.0f}")
            table.add_row(*map(str, row))
        console.print(table)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"
