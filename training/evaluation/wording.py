"""Figures as people read them."""

from __future__ import annotations

from .comparison import Estimate, Row
from .gate import GateReport

COLUMNS = ("measure", "mode", "quantity", "n", "before", "after", "difference", "verdict")
RATES = ("passed", "exact")
LOSSES = ("causal", "denoising")


def in_words(estimate: Estimate, quantity: str, *, signed: bool = False) -> str:
    """`23.0 % (15.0 to 32.0)`, or in the quantity's own unit; differences carry their sign."""
    share = quantity in RATES
    form = ("{:+" if signed else "{:") + (
        ".1f}" if share else ".3f}" if quantity in ("causal", "denoising") else ".2f}"
    )
    value, low, high = (form.format(100 * number if share else number) for number in (estimate.value, *estimate.ci95))
    return f"{value}{' %' if share and not signed else ''} ({low} to {high})"


def row_in_words(row: Row) -> tuple[str, ...]:
    """The cells of `COLUMNS`."""
    return (
        row.measure,
        row.mode or "",
        row.quantity,
        str(row.n),
        in_words(row.before, row.quantity) if row.before else "",
        in_words(row.after, row.quantity),
        in_words(row.difference, row.quantity, signed=True) if row.difference else "",
        row.verdict or "",
    )


def verdict_in_words(gate: GateReport) -> str:
    """One line."""
    if gate.verdict is None:
        return "measured: there was nothing to compare with"
    words = {"worse": "refused: worse in", "better": "better in", "same": "no difference found"}
    return " ".join([words[gate.verdict], "; ".join(gate.reasons)]).strip()
