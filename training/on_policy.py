"""Stage E: fewer passes at equal quality, learned on blocks that the model has filled itself.

Seed Diffusion minimises the length of a trajectory under a verifier (arXiv 2508.02193); length alone was unstable
there, so progress is rewarded instead. Here a pass progresses by the tokens that it may place, and the verifier is the
causal head as it was when the stage began, frozen: a token counts as far as that head would have said it. The same head
teaches the rest by its distribution at the same places (OPDLM, arXiv 2606.06712).

Shapes: B rows, C clean tokens, N noisy tokens = K blocks of S, L learned places, V vocabulary.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from math import log

import torch
from torch import Tensor

from diffill.model.tokenizer import MASK
from diffill.model.transformer import Transformer

from .batch import Batch
from .loss import stream_loss, stream_states
from .rollout import NEVER, CleanContext, Rollout, roll_out
from .stage import Forward, Losses
from .whole_blocks import WholeBlocks, WholeBlocksConfig, log_probabilities


class PolicyConfig(WholeBlocksConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stage E."""

    accepted: float = 0.3
    """A token is verified when the frozen causal head gives it this share of its best token's probability."""
    progress_weight: float = 3.0
    distillation_weight: float = 0.3
    """A soft teacher makes for more passes, so it only leans against the reward."""
    tolerance: float = 0.01
    """Progress is rewarded as long as the verified share of the model's own tokens is at most this below what it was
    when the stage began."""
    first_batches: int = 8
    """Batches over which that is measured; progress is not rewarded in them."""
    memory: float = 0.95
    """Of the running mean of the verified share, a batch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.accepted <= 1.0:
            raise ValueError(f"accepted: {self.accepted} is not in (0, 1]")
        if not 0.0 <= self.memory < 1.0 or self.first_batches < 1:
            raise ValueError(
                f"memory, first_batches: {self.memory} is not in [0, 1), or {self.first_batches} not above 0"
            )


class Guard:
    """Watches the verified share of what the model says: speed is not paid for with quality."""

    def __init__(self, *, tolerance: float, first: int, memory: float) -> None:
        self.tolerance, self.memory = tolerance, memory
        self._first, self._count = first, 0
        self.base = self.verified = 0.0

    @property
    def holds(self) -> bool:
        """Whether progress may be rewarded."""
        return self._count >= self._first and self.verified >= self.base - self.tolerance

    def see(self, verified: float) -> None:
        """One batch's share."""
        if self._count < self._first:
            self.base += (verified - self.base) / (self._count + 1)
            self.verified = self.base
        else:
            self.verified = self.memory * self.verified + (1.0 - self.memory) * verified
        self._count += 1


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the frozen causal head says of blocks that were filled."""

    states: Tensor
    """Hidden states from which it says each token.  # [B, N, D]"""
    verified: Tensor
    """# [B, N] bool"""


class PolicyStage(WholeBlocks):
    """Rows of stage B with blocks masked whole; the model fills them, and learns from one state on the way."""

    name = "policy"

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__(config)
        self.config = config
        self.guard = Guard(tolerance=config.tolerance, first=config.first_batches, memory=config.memory)
        self._teacher: Transformer | None = None

    def loss(self, model: Transformer, batch: Batch, forward: Forward) -> Losses:
        config, clean = self.config, batch.clean_length
        if self._teacher is None:
            self._teacher = copy.deepcopy(model).requires_grad_(False)
        # 1. The model fills the blocks; the frozen causal head reads what it said.
        said = roll_out(CleanContext(model, batch), block_size=config.block_size, threshold=config.threshold)
        verdict = verify(self._teacher, batch, said, accepted=config.accepted)
        placed = (said.order != NEVER) & (batch.weight[:, clean:] > 0)
        share = batch.weight[:, clean:].sum()
        verified = _mean(verdict.verified[placed].float())
        if torch.is_grad_enabled():
            self.guard.see(float(verified))
        # 2. One state of each block on the way, and the places that are still open there.
        step = (torch.rand_like(said.passes, dtype=torch.float) * said.passes).long()  # [B, K]
        state = said.state(step)
        open_ = (state == MASK) & placed
        batch = _with_state(batch, state)
        hidden = stream_states(model, batch, forward)
        # 3. The causal loss on the true text, so that the head which verifies stays what it is.
        causal = stream_loss(model, batch, hidden, denoising_weight=0.0)
        # 4. Progress and distillation at the open places.
        log_p = log_probabilities(model, hidden[:, clean:][open_])  # [L, V]
        teacher = log_probabilities(self._teacher, verdict.states[open_])
        distillation = _mean(-(teacher.exp() * log_p).sum(dim=-1))
        own = log_p.gather(1, said.tokens[open_][:, None])[:, 0].exp()
        progress = _mean(own * verdict.verified[open_])
        reward = config.progress_weight if self.guard.holds else 0.0
        total = causal.total + share * (config.distillation_weight * distillation - reward * progress)
        watched = {
            "distillation": distillation.detach(),
            "progress": progress.detach(),
            "verified": verified,
            "right": _mean((said.tokens == batch.target[:, clean:])[placed].float()),
            "tokens_per_pass": (said.order != NEVER).sum() / said.passes.sum(),
        }
        causal.parts.pop("denoising")  # nothing was learned there
        return Losses(total=total, parts=causal.parts | {name: share * part for name, part in watched.items()})


@torch.no_grad()
def verify(teacher: Transformer, batch: Batch, said: Rollout, *, accepted: float) -> Verdict:
    """Read filled blocks causally: a token from the one before it, the first from the clean token before its block."""
    context = CleanContext(teacher, batch)
    size = said.tokens.shape[1] // said.passes.shape[1]
    states = context.noisy(said.tokens, causal=True)
    start = batch.layout.order[:, batch.clean_length :: size]  # [B, K]
    before = (start - 1).clamp_min(0)[:, :, None].expand(-1, -1, states.shape[2])
    shifted = states.roll(1, dims=1)
    shifted[:, ::size] = context.clean.gather(1, before).to(states.dtype)
    verified = torch.empty_like(said.tokens, dtype=torch.bool)
    for row in range(len(states)):  # vocabulary-sized logits of one row at a time
        log_p = log_probabilities(teacher, shifted[row])
        own = log_p.gather(1, said.tokens[row][:, None])[:, 0]
        verified[row] = own >= log_p.amax(dim=1) + log(accepted)
    return Verdict(states=shifted, verified=verified)


def _with_state(batch: Batch, state: Tensor) -> Batch:
    """The batch with other blocks, whose targets are not learned: they are not what the model said.  # state [B, N]"""
    clean = batch.clean_length
    weight = batch.weight.clone()
    weight[:, clean:] = 0.0
    return replace(batch, tokens=torch.cat([batch.tokens[:, :clean], state], dim=1), weight=weight)


def _mean(values: Tensor) -> Tensor:
    return values.mean() if values.numel() else values.sum()
