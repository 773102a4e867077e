"""Fills short gaps in tracks: a detector misses a person in some frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from ftpcli.records import ROUNDING, Person, TrackedFrame

#: Longest gap that can be filled, seconds.
LONGEST = 1.0


class _Found(NamedTuple):
    number: int  # of the frame, counted from 0
    seconds: float
    person: Person


class FillGaps:
    """Gives a person who is found again soon an interpolated box in the frames between.

    Linear interpolation of tracks as in the ByteTrack paper (section 4.1), but only over fractions of a second, and at
    the frames' own times. The score of such a box is the lower of the scores at both ends. Frames are held while
    somebody who may be found again is missing, for at most ``seconds``.

    Args:
        seconds: the longest time between being found and being found again.
        most: the most frames to hold, so that memory is bounded whatever the frame rate. Longer gaps stay.
    """

    def __init__(self, seconds: float, most: int) -> None:
        self.seconds, self.most = seconds + ROUNDING, most

    def __call__(self, frames: Iterable[TrackedFrame]) -> Iterator[TrackedFrame]:
        """Yields every frame once, in order, with its people and those filled in, sorted by id."""
        held: deque[TrackedFrame] = deque()
        found: dict[int, _Found] = {}  # by id, the last time
        for number, tracked in enumerate(frames):
            now = tracked.frame.seconds
            found = {i: last for i, last in found.items() if 0 < now - last.seconds <= self.seconds}
            for person in tracked.people:
                again = _Found(number, now, person)
                if person.track_id in found:
                    _bridge(held, found[person.track_id], again)
                found[person.track_id] = again
            held.append(tracked)
            del tracked  # a name for the newest frame would keep it alive until the next one replaces it
            whole = min((last.number for last in found.values()), default=number)  # nothing can be added up to here
            while held and (len(held) > self.most or number - len(held) < whole):
                yield held.popleft()
        while held:
            yield held.popleft()


def _bridge(held: deque[TrackedFrame], earlier: _Found, later: _Found) -> None:
    """Add the person to the frames between, which are the last of those held, if all of them still are."""
    missing = later.number - earlier.number - 1
    if missing > len(held):
        return
    for place in range(len(held) - missing, len(held)):
        tracked = held[place]
        share = (tracked.frame.seconds - earlier.seconds) / (later.seconds - earlier.seconds)
        people = (*tracked.people, between(earlier.person, later.person, share))
        held[place] = replace(tracked, people=tuple(sorted(people, key=lambda one: one.track_id)))


def between(earlier: Person, later: Person, share: float) -> Person:
    """The same person so far on the way from one box to the other; the score is the lower of both."""
    box = (1 - share) * earlier.box + share * later.box
    return Person(later.track_id, box, min(earlier.score, later.score), filled=True)
