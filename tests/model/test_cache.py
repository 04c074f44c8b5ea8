"""The tree of pages: what is shared, what gives way, and that nothing behind a sequence's end is ever read."""

from __future__ import annotations

import contextlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from diffill.model.cache import PAGE_SLOTS, CacheFull, KVCache, PagePool
from diffill.model.network import Block
from diffill.model.tokenizer import MASK
from tests.tiny import text, tiny_config, tiny_network

CAPACITY = 12
pieces = st.lists(st.sampled_from([17, 18]), min_size=0, max_size=5)


def new_pool(capacity: int = CAPACITY, kept: int | None = None) -> PagePool:
    """Every slot holds a number that says which text it belongs to."""
    return PagePool(lambda pages: torch.full((pages, PAGE_SLOTS), -1, dtype=torch.int64), capacity=capacity, kept=kept)


def write(cache: KVCache, tokens: list[int]) -> None:
    """What a step does: keys of the tokens go to their slots. Here a key is a hash of the text so far."""
    cache.reserve(len(tokens) + 3)
    text = list(cache.tokens)
    for token in tokens:
        slot = len(text)
        text.append(token)
        cache.storage[int(cache.pages[slot // PAGE_SLOTS]), slot % PAGE_SLOTS] = hash(tuple(text))
    cache.keep(tokens)


def held(cache: KVCache) -> list[int]:
    slots = range(cache.length)
    return [int(cache.storage[int(cache.pages[slot // PAGE_SLOTS]), slot % PAGE_SLOTS]) for slot in slots]


def prefill(pool: PagePool, prompt: list[int]) -> tuple[KVCache, int]:
    cache = pool.open(prompt)
    shared = cache.length
    write(cache, prompt[shared:])
    return cache, shared


class Documents(RuleBasedStateMachine):
    """Texts open, grow, fork and close in any order: every cache holds exactly its own text."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = new_pool(kept=7)
        self.caches: list[KVCache] = []

    @rule(text=pieces, repeat=st.integers(1, 20))
    def opens(self, text: list[int], repeat: int) -> None:
        prompt = (text * repeat)[:100]
        known = self.pool.shared(prompt)
        try:
            cache = self.pool.open(prompt)
        except CacheFull:
            return
        assert cache.length == known and cache.tokens == prompt[:known]
        self.caches.append(cache)
        try:
            write(cache, prompt[known:])
        except CacheFull:
            assert cache.tokens == prompt[:known]

    @precondition(lambda self: self.caches)
    @rule(index=st.integers(0, 99), text=pieces)
    def grows(self, index: int, text: list[int]) -> None:
        cache = self.caches[index % len(self.caches)]
        with contextlib.suppress(CacheFull):
            write(cache, text * 9)

    @precondition(lambda self: self.caches)
    @rule(index=st.integers(0, 99), share=st.floats(0, 1))
    def forks(self, index: int, share: float) -> None:
        cache = self.caches[index % len(self.caches)]
        with contextlib.suppress(CacheFull):
            self.caches.append(self.pool.fork(cache, int(share * cache.length)))

    @precondition(lambda self: self.caches)
    @rule(index=st.integers(0, 99))
    def closes(self, index: int) -> None:
        self.pool.close(self.caches.pop(index % len(self.caches)))

    @rule()
    def shrinks(self) -> None:
        self.pool.shrink()

    @invariant()
    def every_cache_holds_its_text(self) -> None:
        for cache in self.caches:
            assert held(cache) == [hash(tuple(cache.tokens[: index + 1])) for index in range(cache.length)]

    @invariant()
    def no_page_is_lost_or_in_two_hands(self) -> None:
        tree = list(self.pool._tree())
        own = [int(page) for cache in self.caches for page in cache.pages[len(cache.path) : cache.page_count]]
        numbers = [*self.pool._free, *(page.number for page in tree), *own]
        assert sorted(numbers) == list(range(self.pool.capacity))
        readers = [page for cache in self.caches for page in cache.path]
        assert all(page.readers == readers.count(page) for page in tree)


Documents.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestDocuments = Documents.TestCase


def test_a_keystroke_costs_what_it_changed() -> None:
    pool = new_pool()
    prompt = text(100, 0)
    cache, _ = prefill(pool, prompt)
    pool.close(cache)
    cache, shared = prefill(pool, [*prompt, 5])
    assert shared == 100
    pool.close(cache)
    cache, shared = prefill(pool, [*prompt[:90], 6])  # ten tokens deleted
    assert shared == 90


def test_documents_take_turns_without_losing_their_pages() -> None:
    pool = new_pool()
    prompts = [text(60, seed) for seed in range(5)]
    for _ in range(3):
        for prompt in prompts:
            cache, _ = prefill(pool, prompt)
            pool.close(cache)
    assert [pool.shared(prompt) for prompt in prompts] == [60] * 5


def test_the_longest_unused_gives_way_and_a_common_beginning_last() -> None:
    pool = new_pool(capacity=7)
    common = text(PAGE_SLOTS, 9)
    prompts = [[*common, *text(PAGE_SLOTS, seed)] for seed in range(6)]
    for prompt in prompts:
        cache, _ = prefill(pool, prompt)
        pool.close(cache)
    known = [pool.shared(prompt) for prompt in prompts]
    assert known[0] == PAGE_SLOTS, "the beginning is read by all"
    assert known[-1] == 2 * PAGE_SLOTS


def test_what_is_read_never_gives_way() -> None:
    pool = new_pool(capacity=4)
    cache, _ = prefill(pool, text(2 * PAGE_SLOTS, 0))
    with pytest.raises(CacheFull, match="all 4 pages"):
        prefill(pool, text(3 * PAGE_SLOTS, 1))
    assert held(cache) == [hash(tuple(cache.tokens[: index + 1])) for index in range(cache.length)]


def test_what_nobody_reads_gives_way_before_more_memory_is_touched() -> None:
    pool = new_pool(capacity=12, kept=4)
    for seed in range(9):
        cache, _ = prefill(pool, text(PAGE_SLOTS, seed))  # and a page of its own for what comes next
        pool.close(cache)
    written = (pool.storage != -1).any(dim=1)
    assert int(written.sum()) <= 4
    assert [pool.shared(text(PAGE_SLOTS, seed)) for seed in (5, 8)] == [0, PAGE_SLOTS]
    cache, _ = prefill(pool, text(10 * PAGE_SLOTS, 1))  # who needs more has it
    assert held(cache) == [hash(tuple(cache.tokens[: index + 1])) for index in range(cache.length)]


def test_shrinking_gives_memory_back_and_keeps_what_is_open() -> None:
    pool = new_pool(capacity=12)
    for seed in range(3):
        cache, _ = prefill(pool, text(40, seed))
        pool.close(cache)
    cache, _ = prefill(pool, text(70, 9))
    pool.shrink()
    assert pool.capacity == len(pool.storage) == 6
    assert held(cache) == [hash(tuple(cache.tokens[: index + 1])) for index in range(cache.length)]
    assert pool.shared(text(40, 0)) == 0


@given(lengths=st.lists(st.integers(0, 100), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_one_cache_per_text_and_equal_texts_share(lengths: list[int]) -> None:
    pool, base = new_pool(), text(100, 3)
    caches = [prefill(pool, base[:length])[0] for length in lengths]
    full = {int(cache.pages[0]) for cache in caches if cache.length >= PAGE_SLOTS}
    assert len(full) <= 1


@pytest.mark.parametrize("plain", [False, True])
def test_scratch_slots_never_leak_into_later_steps(plain: bool) -> None:
    """Blocks and refused drafts leave their keys behind `length`; what stands there must change nothing."""
    network = tiny_network(tiny_config(), plain=plain)
    prompt = [30, 31, 32, 33, 34]
    used, fresh = network.new_cache(), network.new_cache()
    for cache in (used, fresh):
        network.step(cache, prompt)
        cache.keep(prompt)
    network.step(used, [40, 41, 42], [Block((MASK,) * 8, before=n) for n in (1, 2, 3)])
    used.keep([40])  # 41 and 42 were refused
    network.step(fresh, [40])
    fresh.keep([40])
    block = [Block((MASK, 50, MASK), before=2)]
    assert torch.equal(network.step(used, [60, 61], block), network.step(fresh, [60, 61], block))


@pytest.mark.parametrize("plain", [False, True])
def test_pages_that_were_something_else_are_as_good_as_new(plain: bool) -> None:
    network = tiny_network(tiny_config(), plain=plain)
    pool = network.new_pool(0)
    with torch.inference_mode():
        pool.storage.view(torch.uint8).fill_(255)  # NaN in every format
    cache, fresh = pool.open([]), network.new_cache()
    tokens = text(50, 1)
    assert torch.equal(network.step(cache, tokens), network.step(fresh, tokens))
    assert torch.isfinite(network.step(cache, tokens)).all()


@pytest.mark.parametrize("plain", [False, True])
def test_shared_and_forked_pages_compute_the_same_bits(plain: bool) -> None:
    network = tiny_network(tiny_config(), plain=plain)
    pool = network.new_pool(0)
    tokens = text(75, 2)
    alone = network.new_cache()
    network.step(alone, tokens)
    alone.keep(tokens)
    first = pool.open([])
    network.step(first, tokens[:70])
    first.keep(tokens[:70])
    fork = pool.fork(first, 45)
    network.step(fork, tokens[45:])
    fork.keep(tokens[45:])
    pool.close(first)
    again = pool.open(tokens)
    network.step(again, tokens[again.length :])
    again.keep(tokens[again.length :])
    wanted = network.step(alone, [60, 61])
    assert torch.equal(network.step(fork, [60, 61]), wanted)
    assert torch.equal(network.step(again, [60, 61]), wanted)
