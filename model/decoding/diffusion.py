"""`diffusion`: a block of masks is denoised in parallel, by confidence, and placed tokens may still be revised."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from math import exp

from ..cache import KVCache
from ..code.guide import Fault
from ..config import ModelConfig
from ..network import Block, Choice, Network, Part, Prediction
from ..tokenizer import END_OF_MIDDLE, MASK
from .answer import Answer, Passes, Snapshot


def decode_diffusion(network: Network, cache: KVCache, last: int, answer: Answer) -> Passes[None]:
    """Block after block; the first pass of a block also encodes the block before it, at no pass of its own."""
    config = network.config
    clean = [last]
    while answer.finish is None:
        block = DraftBlock.of(config)
        passes = config.block_passes or config.block_size
        while passes > 0:
            states = yield Part(cache, clean, [Block(tuple(block.tokens), before=len(clean))])
            cache.keep(clean)
            choices = max(answer.choices, block.choices)
            block.advance(network.predict(states[len(clean) :], answer.refused_next, choices))
            clean = []
            answer.rounds += 1
            passes -= 1
            yield Snapshot(len(answer.tokens), tuple(block.tokens), tuple(block.confidence))
            ahead = answer.with_tokens(block.placed, block.log_probability)
            if ahead.finish is not None or block.finished:
                masked = block.mask_again(ahead.fault, answer)
                if not masked:
                    break
                passes += masked
        clean = block.placed
        for place in zip(clean, block.log_probability, block.runners_up, strict=False):
            if not answer.place(*place):
                break
        if answer.finish is None and len(clean) < config.block_size:
            clean = yield from _finish(network, cache, clean, answer, config.block_size - len(clean))


def _finish(network: Network, cache: KVCache, clean: list[int], answer: Answer, count: int) -> Passes[list[int]]:
    """The rest of a block by the causal head, a token a pass; returns what the cache does not hold yet."""
    for _ in range(count):
        states = yield Part(cache, clean)
        cache.keep(clean)
        best = network.predict(states[-1:], answer.refused_next, answer.choices)
        clean = best.tokens
        answer.rounds += 1
        start = len(answer.tokens)
        answer.place(clean[0], best.log_probability[0], best.choices(0))
        yield Snapshot(start, tuple(clean), (exp(best.log_probability[0]),))
        if answer.finish is not None:
            break
    return clean


MOST_TIMES_MASKED_AGAIN = 2
"""How often a block with an error in it is opened again before the answer is left to `mending`."""


class DraftBlock:
    """One block on its way from masks to tokens."""

    def __init__(
        self, size: int, threshold: float, revise_threshold: float | None, entropy_bound: float | None = None
    ) -> None:
        self.tokens = [MASK] * size
        self.confidence = [0.0] * size
        self.log_probability = [0.0] * size
        self.runners_up: list[list[Choice]] = [[] for _ in range(size)]
        self.threshold = threshold
        self.revise_threshold = 2.0 if revise_threshold is None else revise_threshold  # no probability reaches 2
        self.entropy_bound = entropy_bound
        self._revised = [False] * size
        self._refused: dict[int, set[int]] = {}
        """By place, tokens that made an error there."""
        self._before_mending: tuple[list[int], list[float], list[list[Choice]]] | None = None
        self._times_masked_again = 0

    @classmethod
    def of(cls, config: ModelConfig) -> DraftBlock:
        """A block of masks, with the rules of `config`."""
        return cls(config.block_size, config.threshold, config.revise_threshold, config.entropy_bound)

    @property
    def choices(self) -> int:
        """How many tokens must be known at each place, so that one is left where some are refused."""
        return 1 + max(map(len, self._refused.values()), default=0)

    @property
    def placed(self) -> list[int]:
        """The tokens before the left-most mask; all where the end of the middle is among them."""
        return self.tokens if self.finished else self.tokens[: self.tokens.index(MASK)]

    @property
    def finished(self) -> bool:
        """No mask is left before the end of the middle; what stands behind it is nobody's business."""
        return MASK not in self.tokens[: self._end(self.tokens)]

    def advance(self, prediction: Prediction) -> None:
        """Place what is certain, revise what is certainly wrong, and always place the left-most mask.

        Nothing is placed behind the first place where END_OF_MIDDLE stands or is the best guess: a plain threshold
        spent two passes of three there.
        """
        prediction = self._without_refused(prediction)
        best, certain = prediction.tokens, [exp(value) for value in prediction.log_probability]
        left_most = self.tokens.index(MASK)
        sure = self._sure(prediction, certain)
        outlook = [guess if token == MASK else token for token, guess in zip(self.tokens, best, strict=True)]
        for index, token in enumerate(self.tokens):
            if token == MASK:
                self.confidence[index] = certain[index]
                if index == left_most or index in sure:
                    self._place(index, prediction)
            elif token != best[index] and certain[index] >= self.revise_threshold and not self._revised[index]:
                self._revised[index] = True  # once a place, so that two readings cannot alternate for ever
                self._place(index, prediction)
            if END_OF_MIDDLE in (outlook[index], self.tokens[index]):
                break

    def mask_again(self, fault: Fault | None, answer: Answer) -> int:
        """Open the places around an error in this block; how many masks there are then.

        What was least certain of them may not come back there. 0 when there is no error, or none that may still be
        mended here; after attempts in vain the block is what it was before them.

        Args:
            answer: what stands before the block, with the budget.
        """
        begin, size = len(answer.tokens), len(self.tokens)
        around = range(max(fault.first - begin - 1, 0), min(fault.last - begin + 2, size)) if fault else range(0)
        zone = [place for place in around if self.tokens[place] != MASK]
        spare = answer.spare(size)
        if fault is None or not zone or len(zone) > spare or self._times_masked_again == MOST_TIMES_MASKED_AGAIN:
            if fault is not None and self._before_mending is not None:
                self.tokens, self.log_probability, self.runners_up = self._before_mending
            return 0
        self._times_masked_again += 1
        if self._before_mending is None:
            self._before_mending = [*self.tokens], [*self.log_probability], [*self.runners_up]
        suspects = [place for place in zone if fault.first <= begin + place <= fault.last] or zone
        suspect = min(suspects, key=self.log_probability.__getitem__)
        self._refused.setdefault(suspect, set()).add(self.tokens[suspect])
        for place in zone:
            self.tokens[place], self.confidence[place], self._revised[place] = MASK, 0.0, False
        answer.decisions += len(zone)
        return self.tokens.count(MASK)

    def _without_refused(self, prediction: Prediction) -> Prediction:
        tokens, log_probability = [*prediction.tokens], [*prediction.log_probability]
        for place, refused in self._refused.items():
            said = (tokens[place], log_probability[place])
            allowed = (choice for choice in (said, *prediction.choices(place)) if choice[0] not in refused)
            tokens[place], log_probability[place] = next(allowed, said)
        return replace(prediction, tokens=tokens, log_probability=log_probability)

    def _sure(self, prediction: Prediction, certain: list[float]) -> set[int]:
        """Masked places that may be filled in one pass."""
        masked = [index for index, token in enumerate(self.tokens) if token == MASK]
        if self.entropy_bound is None:
            return {index for index in masked if certain[index] >= self.threshold}
        surest = sorted(masked, key=prediction.entropy.__getitem__)
        before = accumulate((prediction.entropy[index] for index in surest), initial=0.0)
        return {index for index, entropy in zip(surest, before, strict=False) if entropy <= self.entropy_bound}

    def _place(self, index: int, prediction: Prediction) -> None:
        self.tokens[index] = prediction.tokens[index]
        self.log_probability[index] = prediction.log_probability[index]
        self.runners_up[index] = prediction.choices(index)
        self.confidence[index] = exp(prediction.log_probability[index])

    @staticmethod
    def _end(tokens: list[int]) -> int:
        """Index of the first END_OF_MIDDLE, or the length."""
        return tokens.index(END_OF_MIDDLE) if END_OF_MIDDLE in tokens else len(tokens)
