from __future__ import annotations

from pathlib import Path

import pytest

from diffill.training.evaluation.held_out import RowLoss
from diffill.training.evaluation.ledger import Ledger, fingerprint


def loss(value: float) -> RowLoss:
    return RowLoss(causal=value, denoising=value)


def test_results_are_found_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "losses.jsonl"
    with Ledger(path, RowLoss) as ledger:
        assert ledger.results == {}
        ledger.add("a", loss(1.0))
        ledger.add("b", loss(2.0))
    with Ledger(path, RowLoss) as ledger:
        assert ledger.results == {"a": loss(1.0), "b": loss(2.0)}


@pytest.mark.parametrize("torn", [b'["c",{"cau', b"\xff\xfe", b"[]\n"])
def test_a_torn_end_is_dropped_and_written_anew(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "losses.jsonl"
    with Ledger(path, RowLoss) as ledger:
        ledger.add("a", loss(1.0))
    path.write_bytes(path.read_bytes() + torn)
    with Ledger(path, RowLoss) as ledger:
        assert ledger.results == {"a": loss(1.0)}
        ledger.add("c", loss(3.0))
    with Ledger(path, RowLoss) as ledger:
        assert ledger.results == {"a": loss(1.0), "c": loss(3.0)}


def test_another_text_is_another_case() -> None:
    assert fingerprint("a", 1) == fingerprint("a", 1) != fingerprint("a", 2)
    assert fingerprint("ab") != fingerprint("a", "b")
