"""The tracks of a finished run: a few numbers of each, and broken ones joined, since now all are known."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import hypot, inf, log
from typing import NamedTuple

from ftpcli.records import ROUNDING, FramePoses, Pose

_STEP = 0.1  # seconds between the places that are kept of a track's beginning and end
_PLACES = 4
#: Longest time between two parts of a track that can be joined, seconds.
LONGEST = 10.0
_COASTS = 0.5  # seconds that somebody out of sight is taken to go on as before
_REACH = (0.35, 0.35)  # how far from there they may be found: person sizes, and more for each second
_SIZE = 0.35  # the most that the logarithm of their height may change
#: Any other pair that one of the two could form must be so many times farther apart than they are, or than this.
_CLEAR = (2.0, 0.15)


class Place(NamedTuple):
    """Where somebody was: seconds, the box's centre, width and height."""

    seconds: float
    x: float
    y: float
    width: float
    height: float


@dataclass(slots=True)
class Track:
    """A few numbers, whatever its length. Sums are over its frames."""

    id: int
    shot: int  # of its first frame
    frames: int = 0
    area: float = 0.0  # square pixels
    distance: float = 0.0  # pixels from the picture's centre
    confidence: float = 0.0  # mean of the joints
    start: list[Place] = field(default_factory=list)  # oldest first
    end: list[Place] = field(default_factory=list)  # oldest first; the last one is of the last frame

    def add(self, pose: Pose, seconds: float, centre: tuple[float, float]) -> None:
        """Take the pose of the next frame."""
        x0, y0, x1, y1 = (float(side) for side in pose.box)
        place = Place(seconds, (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0)
        if len(self.start) < _PLACES and (not self.start or seconds - self.start[-1].seconds >= _STEP):
            self.start.append(place)
        if len(self.end) > 1 and seconds - self.end[-2].seconds < _STEP:
            self.end.pop()
        self.end = [*self.end[1 - _PLACES :], place]
        self.frames += 1
        self.area += place.width * place.height
        self.distance += hypot(place.x - centre[0], place.y - centre[1])
        self.confidence += float(pose.confidence.mean())

    @property
    def seconds(self) -> float:
        """From its first frame to its last."""
        return self.end[-1].seconds - self.start[0].seconds

    def append(self, later: Track) -> None:
        """The same person's later track becomes part of this one."""
        self.end = later.end
        for name in ("frames", "area", "distance", "confidence"):
            setattr(self, name, getattr(self, name) + getattr(later, name))


def tracks_of(frames: Iterable[FramePoses], centre: tuple[float, float], cuts: Sequence[int] = ()) -> dict[int, Track]:
    """The tracks of a run, by id, in the order of their first frames.

    Args:
        centre: of the picture, pixels.
        cuts: indices of the first frames after camera cuts, rising.
    """
    tracks: dict[int, Track] = {}
    for frame in frames:
        for pose in frame.poses:
            track = tracks.setdefault(pose.track_id, Track(pose.track_id, bisect_right(cuts, frame.index)))
            track.add(pose, frame.seconds, centre)
    return tracks


def join(tracks: Iterable[Track], seconds: float) -> dict[int, int]:
    """The new id of each track that is the continuation of an earlier one.

    Tracks are joined where the second begins, in the same shot and within ``seconds``, about where the first was
    heading or had been, at about the same height, and where no other track could be meant. In doubt they stay apart.

    Args:
        tracks: changed on the way: the earlier ones take in the later ones.
    """
    later = sorted(tracks, key=lambda track: (track.start[0].seconds, track.id))
    begins = [track.start[0].seconds for track in later]
    pairs = []
    for first in later:
        ended = first.end[-1].seconds
        for second in later[bisect_right(begins, ended) : bisect_left(begins, ended + seconds + ROUNDING)]:
            if first.shot == second.shot and (far := _distance(first, second)) is not None:
                pairs.append((far, first.id, second.id))
    pairs.sort()
    ends: dict[int, list[float]] = {}
    starts: dict[int, list[float]] = {}
    for far, one, other in pairs:
        ends.setdefault(one, []).append(far)
        starts.setdefault(other, []).append(far)
    by_id = {track.id: track for track in later}
    names: dict[int, int] = {}
    for far, one, other in pairs:
        if min(_rival(ends[one], far), _rival(starts[other], far)) > _CLEAR[0] * max(far, _CLEAR[1]):
            names[other] = one
    for other in sorted(names, key=lambda other: by_id[other].start[0].seconds):
        names[other] = names.get(names[other], names[other])  # the earlier one may be a continuation itself
        by_id[names[other]].append(by_id[other])
    return names


def _rival(distances: list[float], own: float) -> float:
    """The least of rising distances, besides the pair's own, which is one of them."""
    return [*distances, inf][distances[0] == own]


def _distance(first: Track, second: Track) -> float | None:
    """How far the second begins from where the first would be by then, in person sizes; None where it is too far."""
    end, begin = first.end[-1], second.start[0]
    gap = begin.seconds - end.seconds
    if abs(log(end.height / begin.height)) > _SIZE:
        return None
    size = (end.width * end.height * begin.width * begin.height) ** 0.25
    coasts = min(gap, _COASTS)
    forward, back = _speed(first.end), _speed(second.start)
    shifts = [(forward[0] * coasts, forward[1] * coasts), (back[0] * coasts, back[1] * coasts), (0.0, 0.0)]
    far = min(hypot(end.x + dx - begin.x, end.y + dy - begin.y) for dx, dy in shifts) / size
    return far if far <= _REACH[0] + _REACH[1] * gap else None


def _speed(places: list[Place]) -> tuple[float, float]:
    """Pixels per second along x and y."""
    first, last = places[0], places[-1]
    elapsed = last.seconds - first.seconds
    return ((last.x - first.x) / elapsed, (last.y - first.y) / elapsed) if elapsed > 0 else (0.0, 0.0)
