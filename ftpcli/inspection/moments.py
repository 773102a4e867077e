"""Doubtful moments of a poses file, those that somebody who looks through a video looks at first."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from ftpcli.datasets.coco import VISIBLE
from ftpcli.inspection.leaps import Neighbours, leaps
from ftpcli.records import FramePoses

#: Share of a person's joints below ``VISIBLE`` from which on the person is doubtful.
_WEAK = 0.5
_MOST = 300  # moments that are kept
#: Frames without doubt that part two moments of the same kind.
_APART = 12


@dataclass(slots=True)
class Moment:
    """Consecutive frames with the same doubt about a person.

    Attributes:
        frame: place in the file's list of frames of the first one.
        what: for people to read.
        doubt: the larger, the worse.
    """

    frame: int
    track: int | None
    what: str
    doubt: float
    last: int


class Moments:
    """Finds moments while frames go by; keeps the worst ones."""

    def __init__(self, joints: tuple[str, ...]) -> None:
        self._joints = joints
        self._neighbours = Neighbours()
        self._open: dict[tuple[int, str], Moment] = {}
        self._kept: list[tuple[float, int, int, str, Moment]] = []
        self._seen: dict[int, int] = {}
        self._place = -1

    def add(self, frame: FramePoses) -> None:
        """The next frame of the file."""
        self._place += 1
        for around in self._neighbours.add(frame):
            leap = leaps(*around)
            if leap.any():
                names = ", ".join(name for name, far in zip(self._joints, leap, strict=True) if far)
                self._note(self._place - 1, around[1].track_id, "leap", f"leap of {names}", float(leap.mean()) + 1)
        for pose in frame.poses:
            away = self._place - self._seen.get(pose.track_id, self._place) - 1
            if away > 0:
                self._note(self._place, pose.track_id, "lost", f"back after {away} frames", 0.5 + away / 1e4)
            self._seen[pose.track_id] = self._place
            weak = float((pose.confidence < VISIBLE).mean()) if len(pose.confidence) else 0.0
            if pose.filled:
                self._note(self._place, pose.track_id, "filled", "filled in", 0.5)
            elif weak >= _WEAK:
                self._note(self._place, pose.track_id, "weak", f"{weak:.0%} of the joints are weak", weak)

    def _note(self, place: int, track: int, kind: str, what: str, doubt: float) -> None:
        known = self._open.get((track, kind))
        if known is not None and place - known.last <= _APART:
            known.last = place
            if doubt > known.doubt:
                known.what, known.doubt = what, doubt
            return
        if known is not None:
            self._keep(known, kind)
        self._open[track, kind] = Moment(place, track, what, doubt, place)

    def _keep(self, moment: Moment, kind: str) -> None:
        entry = (moment.doubt, -moment.frame, moment.track or 0, kind, moment)
        (heapq.heappush if len(self._kept) < _MOST else heapq.heappushpop)(self._kept, entry)

    def found(self) -> list[Moment]:
        """In the order of their frames, once all frames were added."""
        for (_, kind), moment in self._open.items():
            self._keep(moment, kind)
        self._open.clear()
        return sorted((entry[-1] for entry in self._kept), key=lambda one: (one.frame, one.track or 0, one.what))
