"""What another thread makes ahead is what would have been made at once."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator

import pytest

from ftpcli.files.ahead import Ahead


def test_items_come_in_order_from_another_thread() -> None:
    made: list[int] = []

    def make() -> Iterator[tuple[int, int]]:
        for number in range(20):
            made.append(number)
            yield number, threading.get_ident()

    taken, over = [], threading.Event()
    for number, thread in Ahead(make(), 2, over.set):
        time.sleep(0.02 if number == 5 else 0)
        assert len(made) <= number + 1 + 2 + 1  # those that wait, and one that has no room yet
        taken.append(number)
        assert thread != threading.get_ident()
    assert taken == made == list(range(20)) and over.is_set()


@pytest.mark.parametrize("place", ["item", "after", "both"])
def test_what_fails_is_raised_after_the_items_before(place: str) -> None:
    called: list[str] = []

    def make() -> Iterator[int]:
        yield from range(3)
        if place != "after":
            raise ValueError("item")

    def after() -> None:
        called.append(place)
        if place != "item":
            raise ValueError("after")

    taken = []
    with pytest.raises(ValueError, match="after" if place == "after" else "item"):
        for number in Ahead(make(), 1, after):
            taken.append(number)
    assert taken == [0, 1, 2] and called


@pytest.mark.parametrize("taken", [0, 1, 7])
def test_it_can_be_left_at_any_moment(taken: int) -> None:
    ended = threading.Event()
    ahead = Ahead(iter(range(1000)), 2, ended.set)
    items = iter(ahead)
    for _ in range(taken):
        next(items)
    ahead.close()
    assert ended.is_set() and not ahead._thread.is_alive()
    ahead.close()


def test_it_ends_when_nobody_iterates_any_more() -> None:
    ended = threading.Event()
    items = iter(Ahead(iter(range(1000)), 2, ended.set))
    next(items)
    del items
    gc.collect()
    assert ended.wait(10)


def test_what_was_closed_is_not_over() -> None:
    ahead = Ahead(iter(range(1000)), 2)
    items = iter(ahead)
    next(items)
    ahead.close()
    with pytest.raises(RuntimeError, match="closed before its end"):
        list(items)
