"""Stage D: the states that decoding meets: blocks unmasked in the model's own best order, and right beliefs sharpened.

Fewer passes come from tokens that are certain earlier: the next passes' tokens are learned first, and where the model
is already right its entropy is a loss, too (CAP, LLaDA2.0; certainty forcing, arXiv 2509.26488).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from diffill.model.tokenizer import MASK
from diffill.model.transformer import Transformer

from .batch import Batch
from .loss import stream_loss, stream_states
from .rollout import CleanContext, state_before
from .stage import Forward, Losses
from .trajectories import Trajectory, best_trajectory
from .whole_blocks import WholeBlocks, WholeBlocksConfig, log_probabilities


class OrderConfig(WholeBlocksConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stage D."""

    candidates: int = 2
    temperature: float = 0.5
    """Of the noise by which candidates differ, in nats."""
    likely_share: float = 0.8
    """Share of a batch's blocks, the likeliest, whose trajectories are learned from."""
    horizon: int = 2
    """Tokens of so many passes are learned fully, later ones with `later_weight`."""
    later_weight: float = 0.3
    certainty_weight: float = 0.2
    """Weight of the entropy of masked tokens that are right already."""
    denoising_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.likely_share <= 1.0:
            raise ValueError(f"likely_share: {self.likely_share} is not in (0, 1]")
        if min(self.candidates, self.horizon) < 1:
            raise ValueError(f"candidates, horizon: {self.candidates} and {self.horizon}, at least 1 each")


class OrderStage(WholeBlocks):
    """Rows of stage B with blocks masked whole; what stays masked is decided in the loss, where the weights are."""

    name = "order"

    def __init__(self, config: OrderConfig) -> None:
        super().__init__(config)
        self.config = config

    def loss(self, model: Transformer, batch: Batch, forward: Forward) -> Losses:
        config = self.config
        # 1. The order in which the weights, as they are now, would unmask the true text.
        trajectory = best_trajectory(
            CleanContext(model, batch),
            batch.target[:, batch.clean_length :],
            block_size=config.block_size,
            threshold=config.threshold,
            candidates=config.candidates,
            temperature=config.temperature,
        )
        # 2. One state of it for every block.
        step = (torch.rand_like(trajectory.log_likelihood) * trajectory.passes).long()  # [B, K]
        state = state_of(batch, trajectory, step, config)
        # 3. The joint loss on it, and certainty where it is right.
        hidden = stream_states(model, state, forward)
        losses = stream_loss(model, state, hidden, denoising_weight=config.denoising_weight)
        entropy = entropy_where_right(model, state, hidden)
        share = batch.weight[:, batch.clean_length :].sum()
        parts = {"entropy": entropy.detach(), "passes": share * trajectory.passes.float().mean()}
        return Losses(total=losses.total + config.certainty_weight * entropy, parts=losses.parts | parts)


def state_of(batch: Batch, trajectory: Trajectory, step: Tensor, config: OrderConfig) -> Batch:
    """The batch with its blocks as they are before pass `step`, and weights on what is still masked.

    Args:
        batch: blocks masked whole, the truth as their target.
        step: # [B, K]
    """
    clean, size = batch.clean_length, config.block_size
    truth = batch.target[:, clean:]
    noisy = state_before(truth, trajectory.order, step)
    soon = trajectory.order < (step + config.horizon).repeat_interleave(size, dim=1)
    likely = trajectory.log_likelihood >= trajectory.log_likelihood.flatten().quantile(1.0 - config.likely_share)
    wanted = (noisy == MASK) & likely.repeat_interleave(size, dim=1)
    before = batch.weight[:, clean:]
    weight = before * wanted * torch.where(soon, 1.0, config.later_weight)
    weight = weight * (before.sum() / weight.sum().clamp_min(1e-9))  # the batch's share of the step stays what it was
    return replace(
        batch,
        tokens=torch.cat([batch.tokens[:, :clean], noisy], dim=1),
        weight=torch.cat([batch.weight[:, :clean], weight], dim=1),
    )


def entropy_where_right(model: Transformer, batch: Batch, hidden: Tensor) -> Tensor:
    """Weighted sum of the entropy at learned noisy places whose best token is the true one, in nats."""
    noisy = batch.learned[batch.learned % batch.tokens.shape[1] >= batch.clean_length]
    log_p = log_probabilities(model, hidden.flatten(0, 1)[noisy])
    right = log_p.argmax(dim=-1) == batch.target.flatten()[noisy]
    entropy = -(log_p.exp() * log_p).sum(dim=-1)
    total: Tensor = (entropy * right * batch.weight.flatten()[noisy]).sum()
    return total
