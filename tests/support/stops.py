"""Runs that are stopped."""

from __future__ import annotations

from collections.abc import Callable


def stop_after(chunks: int) -> Callable[[], bool]:
    """To be asked after each chunk of eight frames, of which the first comes in two parts; 0 is its first part."""
    left = iter(range(chunks + 1))
    return lambda: next(left) == chunks
