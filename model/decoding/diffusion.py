"""`diffusion`: a block of masks is denoised in parallel, by confidence, and placed tokens may still be revised."""

from __future__ import annotations

from math import exp

from ..cache import KVCache
from ..network import Block, Choice, Network, Part, Prediction
from ..tokenizer import END_OF_MIDDLE, MASK
from .answer import Answer, Passes, Snapshot


def decode_diffusion(network: Network, cache: KVCache, last: int, answer: Answer) -> Passes[None]:
    """Block after block; the first pass of a block also encodes the block before it, at no pass of its own."""
    clean = [last]
    while answer.finish is None:
        block = DraftBlock(network.config.block_size, network.config.threshold, network.config.revise_threshold)
        while not block.finished:
            states = yield Part(cache, clean, [Block(tuple(block.tokens), before=len(clean))])
            cache.keep(clean)
            block.advance(network.predict(states[len(clean) :], answer.refused_next, answer.choices))
            clean = []
            answer.rounds += 1
            yield Snapshot(len(answer.tokens), tuple(block.tokens), tuple(block.confidence))
        clean = block.tokens
        for place in zip(block.tokens, block.log_probability, block.runners_up, strict=True):
            if not answer.place(*place):
                break


class DraftBlock:
    """One block on its way from masks to tokens."""

    def __init__(self, size: int, threshold: float, revise_threshold: float | None) -> None:
        self.tokens = [MASK] * size
        self.confidence = [0.0] * size
        self.log_probability = [0.0] * size
        self.runners_up: list[list[Choice]] = [[] for _ in range(size)]
        self.threshold = threshold
        self.revise_threshold = 2.0 if revise_threshold is None else revise_threshold  # no probability reaches 2
        self._revised = [False] * size

    @property
    def finished(self) -> bool:
        """No mask is left before the end of the middle; what stands behind it is nobody's business."""
        return MASK not in self.tokens[: self._end(self.tokens)]

    def advance(self, prediction: Prediction) -> None:
        """Place what is certain, revise what is certainly wrong, and always place the left-most mask.

        Nothing is placed behind the first place where END_OF_MIDDLE stands or is the best guess: a plain threshold
        spent two passes of three there.
        """
        best, certain = prediction.tokens, [exp(value) for value in prediction.log_probability]
        left_most = self.tokens.index(MASK)
        outlook = [guess if token == MASK else token for token, guess in zip(self.tokens, best, strict=True)]
        for index, token in enumerate(self.tokens):
            if token == MASK:
                self.confidence[index] = certain[index]
                if index == left_most or certain[index] >= self.threshold:
                    self._place(index, prediction)
            elif token != best[index] and certain[index] >= self.revise_threshold and not self._revised[index]:
                self._revised[index] = True  # once a place, so that two readings cannot alternate for ever
                self._place(index, prediction)
            if END_OF_MIDDLE in (outlook[index], self.tokens[index]):
                break

    def _place(self, index: int, prediction: Prediction) -> None:
        self.tokens[index] = prediction.tokens[index]
        self.log_probability[index] = prediction.log_probability[index]
        self.runners_up[index] = prediction.choices(index)
        self.confidence[index] = exp(prediction.log_probability[index])

    @staticmethod
    def _end(tokens: list[int]) -> int:
        """Index of the first END_OF_MIDDLE, or the length."""
        return tokens.index(END_OF_MIDDLE) if END_OF_MIDDLE in tokens else len(tokens)
