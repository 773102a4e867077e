"""Which frames of a source are wanted: a time range and a stride."""

from __future__ import annotations

import math
from collections.abc import Callable

from ftpcli.errors import InputError, UsageError


def check_rotation(degrees: int | None) -> None:
    """Raises UsageError for anything but quarter turns."""
    if degrees not in (None, 0, 90, 180, 270):
        raise UsageError(f"rotation of {degrees} degrees: only 0, 90, 180 or 270 (counterclockwise) are possible")


class Selection:
    """Frames with ``start <= seconds < end``, one of ``every``, beginning with the first of them.

    With ``duration``, the end is so many seconds after the first frame that is taken.
    """

    def __init__(
        self, name: str, start: float | None, end: float | None, every: int, duration: float | None = None
    ) -> None:
        for value in (start, end, duration):
            if value is not None and math.isnan(value):
                raise UsageError("start and end must be numbers of seconds")
        if start is not None and end is not None and start >= end:
            raise UsageError(f"start ({start:g} s) must lie before end ({end:g} s)")
        if duration is not None and duration <= 0:
            raise UsageError(f"duration ({duration:g} s) must be more than 0")
        if duration is not None and end is not None:
            raise UsageError("--duration and --end: give one of them")
        if every < 1:
            raise UsageError(f"every {every}: must be 1 or more")
        self._name = name
        self._start = start
        self._end = end
        self._every, self._duration = every, duration
        self._first: int | None = None
        self._last_seconds: float | None = None

    def is_over(self, seconds: float) -> bool:
        """True from the first frame on that lies at or after the end."""
        self._last_seconds = seconds
        return self._end is not None and seconds >= self._end

    def takes(self, index: int, seconds: float) -> bool:
        if self._start is not None and seconds < self._start:
            return False
        if self._first is None:
            self._first = index
            if self._duration is not None:
                self._end = _later(seconds, self._duration)
        return (index - self._first) % self._every == 0

    def count(self, frames: int, seconds: Callable[[int], float]) -> int:
        """How many of so many frames will be taken; ``seconds`` gives the time of the n-th, in any order."""
        if (self._start, self._end, self._duration) != (None, None, None):
            start = -math.inf if self._start is None else self._start
            end = math.inf if self._end is None else self._end
            if self._duration is not None and frames:
                end = _later(max(start, seconds(0)), self._duration)
            frames = sum(start <= seconds(n) < end for n in range(frames))
        return math.ceil(frames / self._every)

    def check_not_empty(self) -> None:
        """Raises InputError where the source ended without a frame in the range."""
        if self._first is not None or self._last_seconds is None:
            return
        last = self._last_seconds
        if self._end is not None and last >= self._end:
            raise InputError(f"{self._name}: no frame lies before the end, {self._end:g} s; the first is at {last:g} s")
        raise InputError(f"{self._name}: no frame from the start, {self._start:g} s, on; the last is at {last:g} s")


def _later(seconds: float, duration: float) -> float:
    """Their sum as a user writes it: 5.32 and 0.2 are 5.52, not a little more."""
    return round(seconds + duration, 9)
