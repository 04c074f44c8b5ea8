"""Keys and values of clean tokens, in pages that prompts share. Clean tokens are causal, so nothing is ever refreshed.

Pages that are full form a tree: a page's place is the text up to its end, so equal beginnings of prompts, of one
document over keystrokes or of many, are one path. Pages nobody reads stay until their room is needed: leaves first, the
longest unused first, so that what many prompts begin with goes last. Keys and values depend on the weights: every
variant of them (an adapter) has a tree of its own, in the same pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

PAGE_SLOTS = 32


class CacheFull(MemoryError):
    """Every page is in use."""


@dataclass(eq=False)
class Page:
    """A node of the tree: the keys and values of its tokens, behind those of its parents."""

    number: int
    tokens: tuple[int, ...]
    parent: Page | None
    children: dict[tuple[int, ...], Page] = field(default_factory=dict)
    readers: int = 0
    """Open caches that hold it."""
    used: int = 0


class KVCache:
    """One sequence. The slots behind `length` are scratch for the step that runs."""

    def __init__(self, pool: PagePool, variant: str = "") -> None:
        self.variant = variant
        """Of the weights; empty is the base."""
        self.tokens: list[int] = []
        """The clean tokens whose keys and values are held, in order."""
        self.pages = np.zeros(8, np.int32)
        """Page numbers, as far as `page_count`."""
        self.page_count = 0
        self.path: list[Page] = []
        """The pages of the tree that it begins with; those behind them are its own."""
        self._pool = pool

    @property
    def length(self) -> int:
        return len(self.tokens)

    @property
    def storage(self) -> Tensor:
        """Where the pages are."""
        return self._pool.storage

    def reserve(self, count: int) -> None:
        """Make room for `count` tokens behind `length`.

        Raises:
            CacheFull: there is none; nothing has changed but that some room may be reserved.
        """
        while self.page_count * PAGE_SLOTS < self.length + count:
            self.append(self._pool.take())

    def keep(self, tokens: Sequence[int]) -> None:
        """The first tokens of the last step were clean and are final: they stay."""
        self.tokens.extend(tokens)
        while (len(self.path) + 1) * PAGE_SLOTS <= self.length:
            self._pool.publish(self)

    def append(self, page: int) -> None:
        if self.page_count == len(self.pages):
            self.pages = np.concatenate([self.pages, np.zeros_like(self.pages)])
        self.pages[self.page_count] = page
        self.page_count += 1


class PagePool:
    """All pages of a device, as many as its budget of bytes allows."""

    def __init__(
        self, new_storage: Callable[[int], Tensor], *, capacity: int, kept: int | None = None, block: int = 1
    ) -> None:
        """
        Args:
            new_storage: makes room for so many pages; the first dimension counts them.
            kept: with so many in use, what nobody reads gives way before another page is touched; all if None.
            block: tokens are shared by blocks of so many, where what a token is depends on the rest of its block.
        """
        if PAGE_SLOTS % block:
            raise ValueError(f"context_block: {block} does not divide {PAGE_SLOTS}")
        self._new_storage, self._block = new_storage, block
        self.storage = new_storage(capacity)
        self.capacity = capacity
        self._kept = capacity if kept is None else kept
        self._free = list(range(capacity - 1, -1, -1))
        self._roots: dict[str, Page] = {}
        """By variant of the weights."""
        self._open: list[KVCache] = []
        self._clock = 0

    @property
    def available(self) -> int:
        """Pages that are free or may be had for the taking."""
        return len(self._free) + sum(not page.readers for page in self._tree())

    def shared(self, prompt: Sequence[int], variant: str = "") -> int:
        """How many tokens of `prompt` are held."""
        path, closest, common = self._find(prompt, variant)
        return len(path) * PAGE_SLOTS + (common if closest else 0)

    def open(self, prompt: Sequence[int], variant: str = "") -> KVCache:
        """A cache that holds the longest beginning of `prompt` that is known.

        Raises:
            CacheFull: there is no page left for what is shared only in part.
        """
        path, closest, common = self._find(prompt, variant)
        cache = KVCache(self, variant)
        self._enter(cache, path)
        if closest is not None:
            closest.readers += 1  # it must not be the one that gives way
            try:
                self._copy(cache, closest.number, closest.tokens[:common])
            except CacheFull:
                self.close(cache)
                raise
            finally:
                closest.readers -= 1
            closest.used = self._clock
        return cache

    def fork(self, cache: KVCache, length: int) -> KVCache:
        """Another cache with the first `length` tokens of an open one, or whole blocks of no more.

        Raises:
            CacheFull: there is no page left for what is shared only in part.
        """
        assert length <= cache.length
        full, rest = divmod(length - length % self._block, PAGE_SLOTS)
        other = KVCache(self, cache.variant)
        self._enter(other, cache.path[:full])
        if rest:
            try:
                self._copy(other, int(cache.pages[full]), cache.tokens[full * PAGE_SLOTS :][:rest])
            except CacheFull:
                self.close(other)
                raise
        return other

    def close(self, cache: KVCache) -> None:
        """What it holds stays known until its room is needed."""
        self._open.remove(cache)
        self._clock += 1
        rest = tuple(cache.tokens[len(cache.path) * PAGE_SLOTS :])
        own = [int(page) for page in cache.pages[len(cache.path) : cache.page_count]]
        parent = cache.path[-1] if cache.path else self._root(cache.variant)
        if rest and not any(tokens[: len(rest)] == rest for tokens in parent.children):
            parent.children[rest] = Page(own.pop(0), rest, parent, used=self._clock)
        self._free += own
        for page in cache.path:
            page.readers -= 1
            page.used = self._clock
        cache.path, cache.page_count = [], 0

    def take(self) -> int:
        """A page for new tokens.

        Raises:
            CacheFull: all are in use.
        """
        if self.capacity - len(self._free) >= min(self._kept, self.capacity):
            unused = (page for page in self._tree() if not page.readers and not page.children)
            if oldest := min(unused, key=lambda page: page.used, default=None):
                self._drop(oldest)
        if not self._free:
            raise CacheFull(f"all {self.capacity} pages are in use")
        return self._free.pop()  # the one that was given back last: its memory is touched already

    def publish(self, cache: KVCache) -> None:
        """The first page of its own that is full joins the tree, or makes way for its like there."""
        index = len(cache.path)
        parent = cache.path[-1] if cache.path else self._root(cache.variant)
        number = int(cache.pages[index])
        tokens = tuple(cache.tokens[index * PAGE_SLOTS : (index + 1) * PAGE_SLOTS])
        page = parent.children.get(tokens)
        if page is None:
            page = parent.children[tokens] = Page(number, tokens, parent)
        else:
            self._free.append(number)
            cache.pages[index] = page.number
        page.readers += 1
        page.used = self._clock
        cache.path.append(page)

    def forget(self) -> None:
        """Nothing is known any more but what open caches hold."""
        while unused := [page for page in self._tree() if not page.readers and not page.children]:
            for page in unused:
                self._drop(page)

    def shrink(self) -> None:
        """Forget what nobody reads and give half of the memory back, as far as open caches allow."""
        self.forget()
        numbers = sorted({int(page) for cache in self._open for page in cache.pages[: cache.page_count]})
        place = {number: index for index, number in enumerate(numbers)}
        self.capacity = max(1, len(numbers), self.capacity // 2)
        kept = self.storage[numbers]
        self.storage = kept  # the old storage goes before the new one is made
        self.storage = self._new_storage(self.capacity)
        self.storage[: len(numbers)] = kept
        for page in self._tree():
            page.number = place[page.number]
        for cache in self._open:
            for index in range(cache.page_count):
                cache.pages[index] = place[int(cache.pages[index])]
        self._free = list(range(self.capacity - 1, len(numbers) - 1, -1))

    def _root(self, variant: str) -> Page:
        return self._roots.setdefault(variant, Page(-1, (), None))

    def _find(self, prompt: Sequence[int], variant: str) -> tuple[list[Page], Page | None, int]:
        """Full pages that `prompt` begins with, and the page that shares most of what follows, and how much."""
        path: list[Page] = []
        parent = self._root(variant)
        while page := parent.children.get(tuple(prompt[len(path) * PAGE_SLOTS : (len(path) + 1) * PAGE_SLOTS])):
            if len(page.tokens) < PAGE_SLOTS:
                break
            path.append(page)
            parent = page
        rest = prompt[len(path) * PAGE_SLOTS : (len(path) + 1) * PAGE_SLOTS]
        closest = max(parent.children.values(), key=lambda page: common_length(page.tokens, rest), default=None)
        common = common_length(closest.tokens, rest) if closest else 0
        common -= common % self._block
        return path, closest if common else None, common

    def _enter(self, cache: KVCache, path: Sequence[Page]) -> None:
        self._open.append(cache)
        self._clock += 1
        for page in path:
            page.readers += 1
            page.used = self._clock
            cache.append(page.number)
            cache.path.append(page)
            cache.tokens += page.tokens

    def _copy(self, cache: KVCache, source: int, tokens: Sequence[int]) -> None:
        """The first tokens of a page, in a page of its own to go on in."""
        cache.append(self.take())
        self.storage[int(cache.pages[cache.page_count - 1])] = self.storage[source]
        cache.tokens += tokens

    def _drop(self, page: Page) -> None:
        assert page.parent is not None
        del page.parent.children[page.tokens]
        self._free.append(page.number)

    def _tree(self) -> Iterator[Page]:
        waiting = [page for root in self._roots.values() for page in root.children.values()]
        while waiting:
            page = waiting.pop()
            waiting += page.children.values()
            yield page


def common_length(held: Sequence[int], wanted: Sequence[int]) -> int:
    """Length of the longest common prefix."""
    count = 0
    for one, other in zip(held, wanted, strict=False):
        if one != other:
            break
        count += 1
    return count
