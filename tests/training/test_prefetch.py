"""Work done ahead comes in order, and its errors where it was due."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time

import pytest

from diffill.training.prefetch import ahead


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_in_order(depth: int) -> None:
    def make(index: int) -> int:
        time.sleep(0.002 * (index % 3))  # later ones are ready first
        return index * index

    with contextlib.closing(ahead(make, depth=depth)) as items:
        assert list(itertools.islice(items, 10)) == [index * index for index in range(10)]


def test_the_next_is_made_while_this_one_is_used() -> None:
    made = [threading.Event() for _ in range(20)]
    with contextlib.closing(ahead(lambda index: made[index].set(), depth=3)) as items:
        next(items)
        assert made[2].wait(timeout=30)


@pytest.mark.parametrize("depth", [0, 2])
def test_an_error_is_raised_where_its_item_was_due(depth: int) -> None:
    def make(index: int) -> int:
        if index == 2:
            raise ValueError("no third")
        return index

    with contextlib.closing(ahead(make, depth=depth)) as items:
        assert [next(items), next(items)] == [0, 1]
        with pytest.raises(ValueError, match="no third"):
            next(items)


def test_nothing_runs_on_after_the_end() -> None:
    before = threading.active_count()
    items = ahead(lambda index: index, depth=4)
    next(items)
    items.close()
    assert threading.active_count() == before
