"""What is refused, as the command line reports it: one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from diffill.model.client import EngineError


@contextlib.contextmanager
def one_line(before: str = "") -> Iterator[None]:
    """Turns what a part of Diffill refuses (ValueError, OSError) into a usage error, exit code 2.

    Args:
        before: `--` where the parts name their arguments as the command's options are named.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        raise click.UsageError(f"{before}{error}") from None


def engine_problem(error: EngineError) -> click.ClickException:
    """Exit 2 for what the caller can mend (weights, directory, device, request), 1 for what happened to the engine."""
    mendable = error.code in ("bad_request", "unavailable")
    return (click.UsageError if mendable else click.ClickException)(error.message)
