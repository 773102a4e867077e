"""What a poses file holds, in figures: its people, the gaps in their tracks, doubtful joints, leaps."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ftpcli.datasets.base import PosesReader
from ftpcli.datasets.coco import VISIBLE
from ftpcli.inspection.leaps import Neighbours, leaps
from ftpcli.records import FramePoses, Pose


@dataclass(slots=True)
class PersonSummary:
    """One track.

    Attributes:
        first_frame, last_frame: frame indices, and their ``seconds`` (None where the file has no times).
        frames: in which the person stands, ``filled`` of them by interpolation.
        gaps: times that the person is away between the first and the last frame; ``longest_gap`` in frames.
        confidence: mean over joints and frames.
        leaps: joints that are somewhere else for one frame (see ``inspection.leaps``).
    """

    track_id: int
    first_frame: int
    first_seconds: float | None
    last_frame: int = 0
    last_seconds: float | None = None
    frames: int = 0
    filled: int = 0
    gaps: int = 0
    longest_gap: int = 0
    confidence: float = 0.0
    leaps: int = 0


@dataclass(slots=True)
class PosesSummary:
    """A whole file.

    Attributes:
        frames: in the file; ``empty_frames`` of them hold nobody, ``most_people`` stand in one.
        joints: mean confidence of each by its name, None where nobody stands in the file.
        doubtful: share of joints below ``VISIBLE``.
        people: by track id.
    """

    path: str
    format: str
    frames: int = 0
    empty_frames: int = 0
    most_people: int = 0
    poses: int = 0
    first_seconds: float | None = None
    last_seconds: float | None = None
    doubtful: float | None = None
    joints: dict[str, float | None] = field(default_factory=dict)
    people: list[PersonSummary] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, figures rounded to four places."""
        return _rounded(asdict(self))


def summarise(reader: PosesReader) -> PosesSummary:
    """Read a poses file to its end; memory holds a few numbers a person.

    Raises:
        InputError: a bad record.
    """
    found = PosesSummary(reader.path, reader.format)
    people: dict[int, _Track] = {}
    neighbours = Neighbours()
    joints = reader.header.joints
    sums, low = np.zeros(len(joints)), 0
    for frame in reader:
        seconds = None if math.isnan(frame.seconds) else frame.seconds
        if not found.frames:
            found.first_seconds = seconds
        found.last_seconds = seconds
        found.frames += 1
        found.empty_frames += not frame.poses
        found.most_people = max(found.most_people, len(frame.poses))
        found.poses += len(frame.poses)
        for pose in frame.poses:
            sums += pose.confidence
            low += int((pose.confidence < VISIBLE).sum())
            track = people.get(pose.track_id)
            if track is None:
                track = people[pose.track_id] = _Track(PersonSummary(pose.track_id, frame.index, seconds))
            track.add(frame, pose)
        for around in neighbours.add(frame):
            people[around[1].track_id].summary.leaps += int(leaps(*around).sum())
    count = found.poses
    if count and joints:
        found.doubtful = low / (count * len(joints))
    found.joints = {name: float(total) / count if count else None for name, total in zip(joints, sums, strict=True)}
    found.people = [people[track_id].finished() for track_id in sorted(people)]
    found.warnings = list(reader.warnings)
    return found


class _Track:
    """A person's summary while it grows."""

    def __init__(self, summary: PersonSummary) -> None:
        self.summary = summary
        self._confidence = 0.0

    def add(self, frame: FramePoses, pose: Pose) -> None:
        one = self.summary
        if one.frames:
            away = frame.index - one.last_frame - 1
            one.gaps += away > 0
            one.longest_gap = max(one.longest_gap, away)
        one.frames += 1
        one.filled += pose.filled
        one.last_frame = frame.index
        one.last_seconds = None if math.isnan(frame.seconds) else frame.seconds
        self._confidence += float(pose.confidence.mean()) if len(pose.confidence) else 0.0

    def finished(self) -> PersonSummary:
        self.summary.confidence = self._confidence / self.summary.frames
        return self.summary


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value
