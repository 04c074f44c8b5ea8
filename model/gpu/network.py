"""The network on a CUDA GPU: a step is one graph of fused kernels, and one copy says what it decided."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..cache import PAGE_SLOTS, PagePool
from ..config import ModelConfig
from ..memory import CACHE_BYTES
from ..network import Network, NotFinite, Part, Prediction, ranked_answers
from .attention import tile_tokens
from .graphs import Capture, GraphRunner, Work
from .inputs import StepInputs
from .program import Program
from .shapes import WARM, StepShape


@dataclass
class LastStep:
    """The step that the program's states are of."""

    shape: StepShape
    states: Tensor
    """As they were handed out.  # fp32 [T, D]"""
    decided: dict[bool, np.ndarray] = field(default_factory=dict)
    """With and without labels, once somebody has asked.  # fp32 [T, TOLD]"""


class GpuNetwork(Network):
    """Nothing of a step waits for the device; a prediction does once, for all rows of the step together."""

    def __init__(
        self, config: ModelConfig, tensors: dict[str, Tensor], *, device: torch.device, capture: Capture | None = None
    ) -> None:
        """
        Args:
            tensors: as a checkpoint stores them.
            capture: records steps; None computes each anew.
        """
        super().__init__(config, device=device)
        self.program = Program(config, tensors, device)
        self._inputs = StepInputs(device)
        self._graphs = GraphRunner(capture)
        self._warm = capture is None
        self._tile_rows = tile_tokens(config.num_heads, config.num_key_value_heads)
        self._banned = {labels: torch.tensor(self.banned(labels=labels), device=device) for labels in (False, True)}
        self._bias = {labels: self._bias_of(banned) for labels, banned in self._banned.items()}
        self._storage = 0
        self._step: Work | None = None
        self._last: LastStep | None = None

    @property
    def page_bytes(self) -> int:
        return self.new_storage_shape(1).numel() * torch.bfloat16.itemsize

    def new_storage_shape(self, pages: int) -> torch.Size:
        config = self.config
        return torch.Size((pages, config.num_layers, 2, config.num_key_value_heads, PAGE_SLOTS, config.head_size))

    def new_storage(self, pages: int) -> Tensor:
        return torch.empty(self.new_storage_shape(pages), dtype=torch.bfloat16, device=self.device)

    def new_pool(self, budget: int = CACHE_BYTES, *, whole: bool = True) -> PagePool:
        """As `Network.new_pool`; the first one also records the usual steps."""
        pool = super().new_pool(budget, whole=whole)
        if not self._warm:
            self._warm = True
            for shape in WARM:
                self._run(shape, [], pool.storage)
                self._decide(shape, labels=False)
        return pool

    @torch.inference_mode()
    def run(self, parts: Sequence[Part]) -> list[Tensor]:
        lengths = [len(part.tokens) for part in parts]
        for part, length in zip(parts, lengths, strict=True):
            part.cache.reserve(length)
        longest = max(part.cache.length + length for part, length in zip(parts, lengths, strict=True))
        shape = StepShape.of(sum(lengths), longest)
        self._run(shape, parts, parts[0].cache.storage)
        states = self.program.states[: sum(lengths)].clone()  # the next step overwrites its own
        self._last = LastStep(shape, states)
        return list(torch.split(states, lengths))

    @torch.inference_mode()
    def predict(
        self, states: Tensor, refused_first: Tensor | None = None, choices: int = 1, *, labels: bool = False
    ) -> Prediction:
        if refused_first is not None or choices > 1:
            return ranked_answers(self.program.logits(states), self._banned[labels], refused_first, choices)
        decided = self._decided(states, labels=labels)
        best, total, weighted = decided[:, 1:].T
        if not (np.isfinite(best).all() and np.isfinite(total).all()):
            raise NotFinite("the network's output is not a number")
        return Prediction(
            tokens=decided[:, 0].astype(int).tolist(),
            log_probability=(-np.log(total)).tolist(),
            entropy=(np.log(total) - weighted / total).tolist(),
        )

    def repeat(self) -> None:
        """The last step again, over what it left on the device: that alone, to be timed."""
        assert self._last is not None and self._step is not None, "there was no step"
        self._graphs.run(self._last.shape, self._step, memory=self._storage)

    def _run(self, shape: StepShape, parts: Sequence[Part], storage: Tensor) -> None:
        self._inputs.fill(shape, parts, tile_rows=self._tile_rows)
        self._storage = storage.data_ptr()
        columns = self._inputs.columns(shape)
        self._step = functools.partial(self.program.step, shape, columns, storage)
        self._graphs.run(shape, self._step, memory=self._storage)

    def _decided(self, states: Tensor, *, labels: bool) -> np.ndarray:  # [R, D] -> fp32 [R, TOLD]
        """Of the last step all rows are decided at once: others of it will be asked for next."""
        last = self._last
        if last is None or not states.is_contiguous() or _memory(states) != _memory(last.states):
            decided: np.ndarray = self.program.decide(states.contiguous(), self._bias[labels]).cpu().numpy()
            return decided
        if labels not in last.decided:
            self._decide(last.shape, labels=labels)
            last.decided[labels] = self.program.decided[: len(last.states)].cpu().numpy()
        first = states.storage_offset() // self.config.hidden_size
        return last.decided[labels][first : first + len(states)]

    def _decide(self, shape: StepShape, *, labels: bool) -> None:
        def work() -> None:
            self.program.decide(self.program.states[: shape.rows], self._bias[labels])

        self._graphs.run((shape.rows, labels), work, memory=self._storage)

    def _bias_of(self, banned: Tensor) -> Tensor:
        """What is added to the logits: minus infinity for what is no answer.  # fp32 [V]"""
        bias = torch.zeros(self.config.vocabulary_size, device=self.device)
        bias[banned] = -torch.inf
        return bias


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
