"""What a poses file holds, in figures: its people, the gaps in their tracks, doubtful joints, leaps."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ftpcli.datasets.base import PosesReader
from ftpcli.datasets.coco import VISIBLE
from ftpcli.inspection.leaps import Neighbours, leaps
from ftpcli.records import Pose


@dataclass(slots=True)
class PersonSummary:
    """One track.

    Attributes:
        first_frame, last_frame: frame indices, and their ``seconds`` (None where the file has no times).
        frames: in which the person stands, ``filled`` of them by interpolation.
        gaps: times that the person is away between the first and the last frame; ``longest_gap`` in frames of the file.
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

    def add(self, frame: int, seconds: float | None, pose: Pose) -> None:
        """The person's next frame, by its index."""
        mean = float(pose.confidence.mean()) if len(pose.confidence) else 0.0
        self.confidence = (self.confidence * self.frames + mean) / (self.frames + 1)
        self.frames += 1
        self.filled += pose.filled
        self.last_frame, self.last_seconds = frame, seconds


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
    people: dict[int, PersonSummary] = {}
    steps: dict[int, Counter[int]] = {}  # of each track: how often its frames are so many indices apart
    every, index = 0, 0  # indices from one frame of the file to the next; more than 1 where frames were skipped
    neighbours = Neighbours()
    joints = reader.header.joints
    sums, low = np.zeros(len(joints)), 0
    for frame in reader:
        seconds = None if math.isnan(frame.seconds) else frame.seconds
        if not found.frames:
            found.first_seconds = seconds
        else:
            every = math.gcd(every, frame.index - index)
        index = frame.index
        found.last_seconds = seconds
        found.frames += 1
        found.empty_frames += not frame.poses
        found.most_people = max(found.most_people, len(frame.poses))
        found.poses += len(frame.poses)
        for pose in frame.poses:
            sums += pose.confidence
            low += int((pose.confidence < VISIBLE).sum())
            person = people.setdefault(pose.track_id, PersonSummary(pose.track_id, index, seconds))
            if person.frames:
                steps.setdefault(pose.track_id, Counter())[index - person.last_frame] += 1
            person.add(index, seconds, pose)
        for around in neighbours.add(frame):
            people[around[1].track_id].leaps += int(leaps(*around).sum())
    for track_id, apart in steps.items():
        people[track_id].gaps = sum(count for step, count in apart.items() if step > every)
        people[track_id].longest_gap = max(apart) // every - 1
    count = found.poses
    if count and joints:
        found.doubtful = low / (count * len(joints))
    found.joints = {name: float(total) / count if count else None for name, total in zip(joints, sums, strict=True)}
    found.people = [people[track_id] for track_id in sorted(people)]
    found.warnings = list(reader.warnings)
    return found


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value
