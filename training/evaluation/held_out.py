"""Losses on held-out rows, one by one, so that two checkpoints can be compared row by row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import torch

from diffill.model.adapter import load_adapter, merge
from diffill.model.checkpoint import dequantize, load_checkpoint
from diffill.model.device import choose_device
from diffill.model.transformer import Transformer

from ..batch import normalised
from ..corruption import CorruptionConfig, corrupt
from ..loss import hidden_states, joint_loss
from ..packing import Rows, load_rows
from .ledger import Ledger, fingerprint


class RowLoss(msgspec.Struct, frozen=True, kw_only=True):
    """Mean losses of one row, in nats per token."""

    causal: float
    denoising: float


def held_out_losses(
    checkpoint: Path,
    rows_path: Path,
    ledger: Ledger[RowLoss],
    *,
    count: int,
    device: str,
    adapter: Path | None = None,
    on_case: Callable[[RowLoss], None] = lambda loss: None,
) -> list[RowLoss]:
    """Losses of the first `count` rows, each corrupted in the same way every time.

    Raises:
        ValueError: the rows or the checkpoint cannot be read.
    """
    rows = load_rows(rows_path)
    losses: list[RowLoss] = []
    model: Transformer | None = None
    for index in range(min(count, len(rows))):
        row = Rows(**{name: getattr(rows, name)[index : index + 1] for name in ("tokens", "document", "middle")})
        case = fingerprint(index, row.tokens.tobytes(), row.document.tobytes(), CorruptionConfig())
        if case not in ledger.results:
            model = model or _load(checkpoint, device, adapter)
            ledger.add(case, _loss(model, row, index))
        losses.append(ledger.results[case])
        on_case(losses[-1])
    return losses


def _load(checkpoint: Path, device: str, adapter: Path | None) -> Transformer:
    """In fp32, as the trainer holds it."""
    config, tensors = load_checkpoint(checkpoint)
    weights = {name: tensor.float() for name, tensor in dequantize(tensors).items()}
    if adapter is not None:
        merge(weights, load_adapter(adapter, base=checkpoint))
    model = Transformer(config)
    model.load_state_dict(weights)
    return model.to(choose_device(device)[0]).eval()


@torch.inference_mode()
def _loss(model: Transformer, row: Rows, index: int) -> RowLoss:
    device = next(model.parameters()).device.type
    batch = normalised([corrupt(row, CorruptionConfig(), np.random.default_rng(index))])[0].on(device)
    with torch.autocast(device, dtype=torch.bfloat16):
        parts = joint_loss(model, batch, hidden_states, denoising_weight=1.0).parts
    return RowLoss(causal=float(parts["causal"]), denoising=float(parts["denoising"]))
