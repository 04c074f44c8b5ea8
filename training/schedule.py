"""Learning rate and parameter groups."""

from __future__ import annotations

import torch
from torch import nn

ADAM_BETAS = (0.9, 0.95)
CLIP_NORM = 1.0


def rate(*, peak: float, step: int, warmup_steps: int, progress: float, decay_share: float) -> float:
    """Warm-up, constant, linear decay to zero over the last `decay_share` of the run.

    The one schedule that resumes cleanly over runs whose number is unknown; `progress` is the budget share spent.
    """
    warm = min(1.0, (step + 1) / max(1, warmup_steps))
    left = min(1.0, max(0.0, (1.0 - progress) / decay_share)) if decay_share else 1.0
    return peak * warm * left


def optimizer(model: nn.Module, *, weight_decay: float) -> torch.optim.AdamW:
    """AdamW with decay on the matrices only; norms and the embedding are left alone."""
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    decayed = [p for name, p in trained if p.dim() == 2 and "embedding" not in name]
    rest = [p for name, p in trained if p.dim() != 2 or "embedding" in name]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.0, betas=ADAM_BETAS, fused=True)
