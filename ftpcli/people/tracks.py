"""What is kept of every track of a finished run, to join broken ones and to choose among them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import hypot
from typing import NamedTuple

from ftpcli.records import FramePoses, Pose

_STEP = 0.1  # seconds between the places that are kept of a track's beginning and end
_PLACES = 4


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
