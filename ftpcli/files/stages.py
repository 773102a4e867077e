"""What the stages of a run cost: CPU time by name, added up over all threads, while somebody measures."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")


class Stage(StrEnum):
    """Stages of ``annotate``, in the order in which a frame goes through them."""

    DECODE = "decode"
    DETECT = "detect"
    TRACK = "track"
    CROP = "crop"
    ENCODE_CROPS = "encode crops"
    DECODE_TOKENS = "decode tokens"
    HEATMAPS = "heatmaps"
    WRITE = "write"
    DRAW = "draw"


class _Thread(threading.local):
    name: Stage | None = None
    since = 0.0


_spent: Counter[Stage] | None = None
_lock = threading.Lock()
_thread = _Thread()


@contextmanager
def measured() -> Iterator[Counter[Stage]]:
    """CPU seconds of each stage within the block; one block at a time."""
    global _spent
    _spent, _thread.since = Counter(), time.thread_time()
    try:
        yield _spent
    finally:
        _spent = None


def current() -> Stage | None:
    """The stage that this thread is in."""
    return _thread.name


@contextmanager
def stage(name: Stage | None) -> Iterator[None]:
    """What this thread does in the block belongs to a stage. Within another stage, the inner one alone counts."""
    outer = _enter(name)
    try:
        yield
    finally:
        _enter(outer)


def in_stage(name: Stage, items: Iterable[T]) -> Iterator[T]:
    """The same items; the work of making them belongs to a stage, what is done with them does not."""
    rest = iter(items)
    while True:
        with stage(name):
            try:
                item = next(rest)
            except StopIteration:
                return
        yield item
        del item  # a name for the newest item would keep it alive until the next one replaces it


def _enter(name: Stage | None) -> Stage | None:
    """Book what was spent since the last change to the stage before it, which is returned."""
    before, _thread.name = _thread.name, name
    if _spent is not None:
        now = time.thread_time()
        if before is not None:
            with _lock:
                _spent[before] += now - _thread.since  # type: ignore[assignment] # Counter's values may be floats
        _thread.since = now
    return before
