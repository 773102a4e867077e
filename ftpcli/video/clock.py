"""Turns the times of decoded frames, or of packets, into strictly increasing pts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice
from typing import Protocol, TypeVar

from ftpcli.errors import counted

_LONGEST_GAP = 30 * 24 * 3600  # seconds
_LIMIT = 1 << 60  # beyond any real clock; keeps sums inside 64 bits
_REORDERED = 16  # frames that a decoder reorders at most


class Timed(Protocol):
    """A frame or packet of PyAV."""

    @property
    def pts(self) -> int | None: ...
    @property
    def duration(self) -> int | None: ...


T = TypeVar("T", bound=Timed)


class Clock:
    """Gives one pts per frame, each larger than the last. Times that are sound stay as the source has them.

    - No pts: the previous one plus the previous frame's duration.
    - The last pts again: one tick after the last.
    - A pts before the last one. Where the next frame goes on behind the last one again, or the time falls between
      two frames as of a decoder that failed to reorder, only this frame's time is wrong: one tick after the last.
      Else another recording begins here, with a clock of its own: it follows the previous frame after that one's
      duration, and all later frames are shifted likewise. This also covers a counter that starts again at 0.
    - A pts more than a second after the last. Where the next frame lies before it, only this frame's time is wrong:
      it is treated as missing. Else the gap is real, up to ``longest``; a longer one is another recording's clock.

    Args:
        time_base: seconds per tick.
        rate: frames per second, for the duration of frames that have none; None where unknown.
        start: pts of a first frame without one.
        longest: seconds of the longest gap; None is 30 days.

    Attributes:
        guessed: frames whose pts was missing or treated so.
        moved: frames whose pts was moved to one tick after the last.
        restarts: how often another recording began.
    """

    def __init__(
        self, time_base: Fraction, rate: Fraction | None, start: int | None = None, longest: Fraction | None = None
    ) -> None:
        self._second = max(1, round(1 / time_base))
        self._longest = round((longest or _LONGEST_GAP) / time_base)
        self._step = max(1, round(1 / (rate * time_base))) if rate else max(1, self._second // 25)
        self._start = start or 0
        self._last: int | None = None
        self._offset = 0
        self._recent: deque[int] = deque(maxlen=4 * _REORDERED)
        self.guessed = 0
        self.moved = 0
        self.restarts = 0

    def times(self, items: Iterable[T]) -> Iterator[tuple[T, int]]:
        """Every item with its pts. One item is read ahead where the clock jumps, otherwise none."""
        items = iter(items)
        ahead: deque[T] = deque()
        while True:
            item = ahead.popleft() if ahead else next(items, None)
            if item is None:
                return
            pts = self._known(item)
            if self._jumps(pts) and not ahead:
                ahead.extend(islice(items, 1))
            yield item, self._next(pts, self._known(ahead[0]) if ahead else None, item.duration)

    def _known(self, item: T) -> int | None:
        return item.pts if item.pts is not None and abs(item.pts) <= _LIMIT else None

    def _jumps(self, pts: int | None) -> bool:
        if pts is None or self._last is None:
            return False
        return not 0 <= pts + self._offset - self._last <= self._second

    def _next(self, pts: int | None, following: int | None, duration: int | None) -> int:
        last = self._last
        if pts is not None:
            pts += self._offset
        if following is not None:
            following += self._offset
        if last is None:
            self.guessed += pts is None
            given = self._start if pts is None else pts
        elif pts is None or (following is not None and last < following < pts and pts - last > self._second):
            self.guessed += 1
            given = last + self._step
        elif pts - last > self._longest or self._begins_anew(pts, following, last):
            self.restarts += 1
            given = last + self._step
            self._offset += given - pts
            self._recent.clear()
        elif pts <= last:
            self.moved += 1
            self._recent.append(pts)
            given = last + 1
        else:
            self._step = pts - last
            given = pts
        self._recent.append(given)
        if duration and 0 < duration < _LIMIT:
            self._step = duration
        self._last = given
        return given

    def _begins_anew(self, pts: int, following: int | None, last: int) -> bool:
        """Whether a time before the last frame's is of another recording."""
        if last - pts < self._step / 2 or following is None or following > last:
            return False
        below = max((one for one in self._recent if one <= pts), default=None)
        above = min(one for one in self._recent if one >= pts)
        if below is None or last - pts > _REORDERED * self._step:
            return True
        room = min(above - pts, pts - below)  # a frame that was late leaves a hole as wide as itself on both sides
        return room < self._step / 2 or above - below < self._step * 3 / 2

    def warnings(self) -> list[str]:
        """One line for each kind of repair."""
        lines = {
            f"{counted(self.guessed, 'frame')} without a time; it was guessed from the frames before": self.guessed,
            f"{counted(self.moved, 'frame')} not later than the one before, each moved to just after it": self.moved,
            f"the clock is set anew {counted(self.restarts, 'time')}; later frames were shifted": self.restarts,
        }
        return [line for line, count in lines.items() if count]
