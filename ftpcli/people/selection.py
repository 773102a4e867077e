"""Who goes into the file, and under which id: decided once a run is over and all tracks are known.

A command's help lists the choices, so that numpy is imported only where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from ftpcli.errors import UsageError, counted
from ftpcli.people.tracks import LONGEST, Track, join, tracks_of
from ftpcli.records import ROUNDING, FramePoses, SourceInfo


class Select(StrEnum):
    """Whom to prefer: by mean box area, by duration, by mean distance from the picture's centre, by the mean
    confidence of joints."""

    LARGEST = "largest"
    LONGEST = "longest"
    CENTRAL = "central"
    BEST = "best"


_RANKS: dict[Select, Callable[[Track], float]] = {
    Select.LARGEST: lambda track: -track.area / track.frames,
    Select.LONGEST: lambda track: -track.seconds,
    Select.CENTRAL: lambda track: track.distance / track.frames,
    Select.BEST: lambda track: -track.confidence / track.frames,
}


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked for; options of ``ftp annotate``.

    Attributes:
        people: at most so many at any time. Whole tracks are taken, best first, each if there is room for it.
        select: whom to prefer; None is the largest.
        ids: only these people.
        min_track: seconds; shorter tracks are left out.
        join: seconds; see :func:`ftpcli.people.tracks.join`.

    Raises:
        UsageError: a number that makes no sense, or ``select`` without ``people``.
    """

    people: int | None = None
    select: Select | None = None
    ids: Collection[int] | None = None
    min_track: float = 0.0
    join: float = 0.0

    def __post_init__(self) -> None:
        if self.people is not None and self.people < 1:
            raise UsageError(f"--people {self.people}: must be at least 1")
        if self.select is not None and self.people is None:
            raise UsageError(f"--select {self.select}: says whom to prefer; give their number with --people")
        if not 0 <= self.min_track < float("inf"):
            raise UsageError(f"--min-track {self.min_track:g}: must be 0 seconds or more")
        if not 0 <= self.join <= LONGEST:
            raise UsageError(f"--join {self.join:g}: must lie between 0 and {LONGEST:g} seconds")

    @property
    def asked(self) -> list[str]:
        """The options that are set."""
        values = {"--people": self.people, "--ids": self.ids, "--min-track": self.min_track, "--join": self.join}
        return [name for name, value in values.items() if value]

    def keep(self, tracks: Iterable[Track]) -> set[int]:
        """Ids of those who are left."""
        able = [
            track
            for track in tracks
            if (self.ids is None or track.id in self.ids) and track.seconds + ROUNDING >= self.min_track
        ]
        if self.people is None:
            return {track.id for track in able}
        rank = _RANKS[self.select or Select.LARGEST]
        kept: list[Track] = []
        for track in sorted(able, key=lambda track: (rank(track), track.id)):
            near = [other for other in kept if _meet(track, other)]
            if _most_at_a_time([*near, track]) <= self.people:
                kept.append(track)
        return {track.id for track in kept}


def _meet(one: Track, other: Track) -> bool:
    return one.start[0].seconds <= other.end[-1].seconds and other.start[0].seconds <= one.end[-1].seconds


def _most_at_a_time(tracks: Sequence[Track]) -> int:
    """How many tracks there are in the moment when there are most."""
    changes = [(track.start[0].seconds, 0) for track in tracks] + [(track.end[-1].seconds, 1) for track in tracks]
    now = most = 0
    for _, ends in sorted(changes):
        now += -1 if ends else 1
        most = max(most, now)
    return most


class Chosen:
    """A selection applied to a finished run: call it with the frames, as often as needed.

    Attributes:
        tracks, poses: how many are left.
        lines: what was joined and who was left out, one line each.
    """

    def __init__(
        self, selection: Selection, frames: Iterable[FramePoses], source: SourceInfo, cuts: Sequence[int] = ()
    ) -> None:
        tracks = tracks_of(frames, ((source.width or 0) / 2, (source.height or 0) / 2), cuts)
        self._names = join(tracks.values(), selection.join) if selection.join else {}
        people = [track for track in tracks.values() if track.id not in self._names]
        self._kept = selection.keep(people)
        out = [track for track in people if track.id not in self._kept]
        self.tracks, self.poses = len(self._kept), sum(t.frames for t in people) - sum(t.frames for t in out)
        self.lines: list[str] = []
        if self._names:
            joined = ", ".join(f"{other} into {one}" for other, one in sorted(self._names.items()))
            self.lines.append(f"{counted(len(self._names), 'broken track')} joined: {joined}")
        if out:
            ids, options = ", ".join(str(track.id) for track in out), " ".join(selection.asked)
            self.lines.append(f"left out by {options}: ids {ids} ({counted(sum(t.frames for t in out), 'pose')})")
        if absent := sorted(set(selection.ids or ()) - {track.id for track in people}):
            self.lines.append(f"--ids: there is nobody with id {', '.join(map(str, absent))}")

    def __call__(self, frames: Iterable[FramePoses]) -> Iterator[FramePoses]:
        """The frames with those who are left, sorted by id."""
        for frame in frames:
            named = (replace(pose, track_id=self._names.get(pose.track_id, pose.track_id)) for pose in frame.poses)
            kept = sorted((pose for pose in named if pose.track_id in self._kept), key=lambda pose: pose.track_id)
            yield replace(frame, poses=tuple(kept))
