"""The answers to one request: the first, then further ones side by side, each mended where it breaks the code."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from types import TracebackType

from torch import Tensor

from .cache import KVCache, PagePool, common_length
from .decoding import EDIT_MODES, MODES, Answer, Passes, Snapshot, decode_in_blocks
from .decoding.mending import Mending, mend_others, others_budget
from .decoding.passes import prefill, together
from .network import PREFILL_TOKENS, Network, Part
from .request import Mode

Steps = Generator[list[Part], list[Tensor], None]


@dataclass(eq=False)
class Branch:
    """An answer, and the cache that it is decoded over."""

    answer: Answer
    cache: KVCache


class Branches:
    """What one request decodes. As a context manager it closes every cache that it has opened."""

    def __init__(
        self,
        pool: PagePool,
        network: Network,
        prompt: Sequence[int],
        *,
        mode: Mode,
        draft: Sequence[int] = (),
        variant: str = "",
        on_pass: Callable[[Snapshot, int], None] = lambda snapshot, passes: None,
    ) -> None:
        """
        Args:
            draft: a text that the answer is likely to resemble.
            variant: of the weights.
            on_pass: hears of every pass, with its number.

        Raises:
            CacheFull: there is no page left for what the prompt shares with earlier ones.
        """
        self.passes = 0
        self._pool, self._network, self._prompt = pool, network, list(prompt)
        self._mode, self._draft, self._on_pass = mode, draft, on_pass
        self._known = self._prompt[: self._whole(self._prompt)]
        self._trunk = pool.open(self._known, variant)
        self._caches = [self._trunk]
        self.cached = self._trunk.length
        """Tokens of the prompt that were held already."""

    def __enter__(self) -> Branches:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for cache in self._caches:
            self._pool.close(cache)

    def read_prompt(self) -> Steps:
        """All that is not cached of it."""
        yield from together([prefill(self._trunk, self._known[self.cached :])])

    def decode(self, answer: Answer, candidates: int) -> Generator[list[Part], list[Tensor], list[Answer]]:
        """All answers: the first one, then others that differ from it, best first."""
        first = Branch(answer, self._trunk)
        yield from self._together([self._grow(first)])
        size, device = self._network.config.vocabulary_size, self._network.device
        mending = Mending(answer, vocabulary_size=size, device=device)
        yield from self._together([self._mend(first, mending)])
        best = mending.best

        forks = best.likely_forks(candidates - 1)
        allowance = others_budget(mending) // max(1, len(forks))
        others = [self._fork(first.cache, best.forked(fork, allowance)) for fork in forks]
        yield from self._together([self._grow(other) for other in others])
        attempts = mend_others(mending, [other.answer for other in others])
        yield from self._together([self._mend(*pair) for pair in zip(others, attempts, strict=True)])
        ended = [
            attempt.best if attempt.best.fault is None else other.answer
            for other, attempt in zip(others, attempts, strict=True)
        ]
        return _distinct([best, *sorted(ended, key=attrgetter("score"), reverse=True)])

    def _together(self, branches: Sequence[Passes[None]]) -> Steps:
        yield from together(branches, self._show)

    def _show(self, snapshot: Snapshot) -> None:
        self.passes += 1
        self._on_pass(snapshot, self.passes)

    def _fork(self, cache: KVCache, answer: Answer) -> Branch:
        """An answer that shares its beginning with what `cache` holds."""
        fork = self._pool.fork(cache, common_length(cache.tokens, self._text(answer)[:-1]))
        self._caches.append(fork)
        return Branch(answer, fork)

    def _grow(self, branch: Branch) -> Passes[None]:
        """The rest of an answer."""
        network, cache, answer = self._network, branch.cache, branch.answer
        if answer.finish is not None:
            return
        text = self._text(answer)
        whole = self._whole(text)
        self.passes += -(-(whole - cache.length) // PREFILL_TOKENS)  # what the cache does not hold of it
        yield from prefill(cache, text[cache.length : whole])
        if network.config.context_block > 1:
            yield from decode_in_blocks(network, cache, text[whole:], answer)
        elif self._draft:
            yield from EDIT_MODES[self._mode](network, cache, text[-1], answer, self._draft)
        else:
            yield from MODES[self._mode](network, cache, text[-1], answer)

    def _mend(self, branch: Branch, mending: Mending) -> Passes[None]:
        """Attempt after attempt, each over what the one before left in the cache."""
        cache = branch.cache
        while (attempt := mending.next()) is not None:
            again = self._fork(cache, attempt)
            self._caches.remove(cache)
            self._pool.close(cache)
            branch.cache = cache = again.cache
            yield from self._grow(again)
            mending.learn(attempt)

    def _text(self, answer: Answer) -> list[int]:
        return [*self._prompt, *answer.tokens]

    def _whole(self, text: Sequence[int]) -> int:
        """How much of a text is clean before it is gone on from: all but its last token, or the block of that."""
        size = self._network.config.context_block
        return (len(text) - 1) // size * size


def _distinct(answers: Sequence[Answer]) -> list[Answer]:
    """Of answers that say the same the first."""
    return list({tuple(answer.tokens): answer for answer in reversed(answers)}.values())[::-1]
