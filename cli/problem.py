"""The engine's refusals as the command line reports them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from diffill.model.client import EngineError


def engine_problem(error: EngineError) -> click.ClickException:
    """Exit 2 for what the caller can mend (weights, directory, device, request), 1 for what happened to the engine."""
    mendable = error.code in ("bad_request", "unavailable")
    return (click.UsageError if mendable else click.ClickException)(error.message)
