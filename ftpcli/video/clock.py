"""Turns the times of decoded frames into strictly increasing pts."""

from __future__ import annotations

from fractions import Fraction

_LONGEST_GAP = 30 * 24 * 3600  # seconds
_LIMIT = 1 << 60  # beyond any real clock; keeps sums inside 64 bits


class Clock:
    """Hands out one pts per frame, each larger than the last.

    - A sound pts is kept as it is.
    - A missing pts is the previous one plus the previous frame's duration.
    - A pts that repeats the last one, or lies up to a second before it, moves to one tick after the last.
    - A pts more than a second before the last, or more than 30 days after it, means that the clock was set anew
      (joined recordings, damage): it and all later ones are shifted to follow on.

    Attributes:
        guessed: frames without a pts.
        moved: frames whose pts was moved by ticks.
        restarts: how often the clock was set anew.
    """

    def __init__(self, time_base: Fraction, rate: Fraction | None, start: int | None = None) -> None:
        self._second = max(1, round(1 / time_base))
        self._longest = round(_LONGEST_GAP / time_base)
        self._step = max(1, round(1 / (rate * time_base))) if rate else max(1, self._second // 25)
        self._start = start or 0
        self._last: int | None = None
        self._offset = 0
        self.guessed = 0
        self.moved = 0
        self.restarts = 0

    def __call__(self, pts: int | None, duration: int | None) -> int:
        last = self._last
        if pts is None or abs(pts) > _LIMIT:
            self.guessed += 1
            pts = self._start if last is None else last + self._step
        else:
            pts += self._offset
            if last is not None and (last - pts > self._second or pts - last > self._longest):
                self.restarts += 1
                self._offset += last + self._step - pts
                pts = last + self._step
            elif last is not None and pts <= last:
                self.moved += 1
                pts = last + 1
        if duration and 0 < duration < _LIMIT:
            self._step = duration
        elif last is not None:
            self._step = pts - last
        self._last = pts
        return pts

    def warnings(self) -> list[str]:
        """One line for each kind of repair."""
        lines = []
        if self.guessed:
            lines.append(f"{self.guessed} frame(s) carry no time; it was guessed from the frames before")
        if self.moved:
            lines.append(f"{self.moved} frame(s) repeat a time or go back; each was moved to just after the one before")
        if self.restarts:
            lines.append(f"the clock is set anew {self.restarts} time(s); later frames were shifted to follow on")
        return lines
