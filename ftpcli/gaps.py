"""Short gaps in a person's track filled: a detector misses somebody now and then, who was there all the same."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ftpcli.records import Person, TrackedFrame

#: The longest gap that may be asked for, seconds.
LONGEST = 1.0


class FillGaps:
    """Gives a person who is found again soon a box in the frames between, on the straight line from box to box.

    Linear interpolation of tracks as in the ByteTrack paper (section 4.1), but only over moments, and on the
    frames' own times. The score of such a box is the lower one of its two ends. Frames come out late, by at most
    ``seconds`` and ``most`` frames; only so many are held.

    Args:
        seconds: the longest time between being found and being found again.
        most: the most frames to hold, so that memory is bounded whatever the frame rate. Longer gaps stay.
    """

    def __init__(self, seconds: float, most: int) -> None:
        self.seconds, self.most = seconds, most

    def __call__(self, frames: Iterable[TrackedFrame]) -> Iterator[TrackedFrame]:
        """Yields every frame once, in order, with the people of before and those filled in, sorted by id."""
        held: deque[TrackedFrame] = deque()
        found: dict[int, tuple[int, float, Person]] = {}  # by id: number of the frame, its time, the person in it
        for number, tracked in enumerate(frames):
            now = tracked.frame.seconds
            found = {i: last for i, last in found.items() if 0 < now - last[1] <= self.seconds}
            for person in tracked.people:
                if person.track_id in found:
                    before, then, earlier = found[person.track_id]
                    missing = number - before - 1
                    if 0 < missing <= len(held):
                        for place in range(len(held) - missing, len(held)):
                            share = (held[place].frame.seconds - then) / (now - then)
                            held[place] = _with(held[place], _between(earlier, person, share))
                found[person.track_id] = (number, now, person)
            held.append(tracked)
            del tracked  # a name for the newest frame would keep it alive until the next one replaces it
            while held and (len(held) > self.most or not held[0].frame.seconds > now - self.seconds):
                yield held.popleft()
        while held:
            yield held.popleft()


def _between(earlier: Person, later: Person, share: float) -> Person:
    box = (1 - share) * earlier.box + share * later.box
    return Person(later.track_id, box, min(earlier.score, later.score))


def _with(tracked: TrackedFrame, person: Person) -> TrackedFrame:
    return replace(tracked, people=tuple(sorted((*tracked.people, person), key=lambda one: one.track_id)))
