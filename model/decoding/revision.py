"""Denoising a draft: a window of it moves over the text, and labels say what becomes of each token in it.

The token itself: keep. Another token: substitute. `DELETE`: leave it out. `INSERT`: open a masked place before it
(labels as in LLaDA2.2; no token is presumed right, as in Seed Diffusion, arXiv 2508.02193).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp

from ..cache import KVCache
from ..network import Block, Choice, Network, Part, Prediction
from ..tokenizer import DELETE, END_OF_MIDDLE, INSERT, MASK, NUM_CONTROL_IDS
from .answer import Answer, Passes, Snapshot
from .draft import Draft


def decode_revision(network: Network, cache: KVCache, last: int, answer: Answer, draft: Sequence[int]) -> Passes[int]:
    """Window after window until the answer is finished, or until one window does not settle.

    The first pass of a window also encodes the one before it, at no pass of its own. A window that needs no change is
    final after one pass.

    Returns:
        The last final token, which the cache does not hold yet.
    """
    config = network.config
    assert config.edit_threshold is not None, "these weights were not taught labels"
    clean, rest = [last], Draft(draft, answer.tokens).rest
    text = RevisedText(rest, config.block_size, threshold=config.threshold, edit_threshold=config.edit_threshold)
    while answer.finish is None:
        for _ in range(max(2, config.block_size // 2)):
            states = yield Part(cache, clean, [Block(text.window, before=len(clean))])
            cache.keep(clean[:-1])
            said = network.predict(states[len(clean) :], answer.refused_next, answer.choices, labels=True)
            clean = clean[-1:]
            text.advance(said)
            answer.rounds += 1
            yield Snapshot(len(answer.tokens), text.window, text.confidence)
            if text.settled:
                break
        else:
            break
        for place in text.take():
            assert place.log_probability is not None, "a window is taken when it is settled"
            clean.append(place.token)
            if not answer.place(place.token, place.log_probability, place.runners_up):
                break
    return clean[-1]


@dataclass(frozen=True)
class Place:
    """One token of the text under revision."""

    token: int
    log_probability: float | None = None
    """Of the label that the network gave last; None until then, and as long as the place is open."""
    runners_up: Sequence[Choice] = ()
    """Other tokens that could stand there."""
    changed: bool = False
    """A token is replaced once at most: two readings must not alternate for ever."""


class RevisedText:
    """What is left of the draft; the first `size` tokens of it are the window. Behind it END_OF_MIDDLE for ever."""

    def __init__(self, draft: Sequence[int], size: int, *, threshold: float, edit_threshold: float) -> None:
        self.size, self.threshold, self.edit_threshold = size, threshold, edit_threshold
        text = (token for token in draft if token >= NUM_CONTROL_IDS)  # a client's control ids are no text
        self._places = [Place(token) for token in (*text, END_OF_MIDDLE)]
        self._pad()

    @property
    def window(self) -> tuple[int, ...]:
        return tuple(place.token for place in self._places[: self.size])

    @property
    def confidence(self) -> tuple[float, ...]:
        known = (place.log_probability for place in self._places[: self.size])
        return tuple(0.0 if value is None else exp(value) for value in known)

    @property
    def settled(self) -> bool:
        """Nothing in the window is open or has yet to be looked at."""
        return all(place.log_probability is not None for place in self._open_window())

    def take(self) -> list[Place]:
        """The window, which is settled, up to the end of the text; the next window begins behind it."""
        taken = self._open_window()
        self._places = self._places[self.size :]
        self._pad()
        return taken

    def advance(self, prediction: Prediction) -> None:
        """Follow the labels that are likely enough, and always decide the left-most open place.

        Nothing behind the first END_OF_MIDDLE is looked at.
        """
        after: list[Place] = []
        window = self._open_window()
        left_most = self.window.index(MASK) if MASK in self.window else None
        for index, (place, label) in enumerate(zip(window, prediction.tokens[: len(window)], strict=True)):
            log_probability = prediction.log_probability[index]
            others = [choice for choice in prediction.choices(index) if choice[0] not in (DELETE, INSERT, place.token)]
            if not self._follows(place, label, exp(log_probability), left_most=index == left_most):
                after.append(place if place.token == MASK else replace(place, log_probability=log_probability))
            elif label == INSERT:
                after += [Place(MASK), replace(place, log_probability=None)]
            elif label != DELETE:
                changed = place.changed or place.token not in (MASK, label)
                after.append(Place(label, log_probability, others, changed))
            if after and after[-1].token == END_OF_MIDDLE:
                break
        self._places[: len(window)] = after
        self._pad()

    def _follows(self, place: Place, label: int, certainty: float, *, left_most: bool) -> bool:
        if place.token == MASK:
            return left_most or certainty >= self.threshold
        if label == place.token:
            return True
        return not place.changed and certainty >= self.edit_threshold

    def _open_window(self) -> list[Place]:
        """The window up to its first END_OF_MIDDLE; what stands behind it is nobody's business."""
        window = self.window
        end = window.index(END_OF_MIDDLE) + 1 if END_OF_MIDDLE in window else self.size
        return self._places[:end]

    def _pad(self) -> None:
        """END_OF_MIDDLE follows the text, as far as a window could reach."""
        self._places += [Place(END_OF_MIDDLE)] * max(1, self.size - len(self._places))
