"""Who is where: people found and followed by a detector and a tracker, or read from a file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ftpcli.errors import FtpError, InputError
from ftpcli.people.tracking import Tracker, TrackerName, memory_frames
from ftpcli.records import Frame, Person, TrackedFrame, VideoInfo

if TYPE_CHECKING:
    from ftpcli.people import Detector

#: A box with a side below this many pixels, after cutting it to the picture, is no person.
SMALLEST = 1.0
#: Share of the boxes of a file that may lie beside the picture. Trackers write such boxes for people who just left.
_OUTSIDE = 0.1


class PeopleSource(Protocol):
    """Names the people of each frame. Frames come in their order; each video needs a source of its own.

    `detect` looks at frames by themselves; what it returns can be stored, and a resumed run need not ask again.
    `follow` depends on nothing but that and the frames before.
    """

    def detect(self, frames: Sequence[Frame]) -> Sequence[np.ndarray | None]:
        """(N, 5) float32 xyxy and score of the people in each frame, best first; None where nothing is detected."""
        ...

    def follow(self, frames: Iterable[TrackedFrame]) -> Iterator[TrackedFrame]:
        """Every frame of a shot once, in order, with its people, sorted by id; ``detections`` are those of `detect`.

        Called once for every shot; those of a detector have nobody in common.
        """
        ...

    def check_end(self, frames: int) -> None:
        """Called once the whole video of so many frames was read; raises InputError where that does not fit."""
        ...

    def describe(self) -> dict[str, Any]:
        """What a file's header records under ``run.people``."""
        ...


class DetectAndTrack:
    """Finds people with a detector and follows them with a tracker.

    Args:
        detector: see `ftpcli.people.load_detector`.
        frame_rate: of the frames that are looked at, per second; None where unknown.
        min_score: from this score on, a detection may become a person; None: what the detector recommends.
    """

    def __init__(
        self,
        detector: Detector,
        tracker: str = TrackerName.BYTETRACK,
        frame_rate: float | None = None,
        min_score: float | None = None,
    ) -> None:
        self.detector = detector
        self.min_score = detector.score if min_score is None else min_score
        self._new_tracker = partial(Tracker, TrackerName(tracker), frame_rate, self.min_score, count(1))
        self._tracker = {"name": str(tracker), "memory_frames": memory_frames(frame_rate)}

    def detect(self, frames: Sequence[Frame]) -> list[np.ndarray]:
        """(N, 5) float32 xyxy and score of the people in each frame, weak ones included, best first."""
        return self.detector.detect_batch([frame.image for frame in frames])

    def follow(self, frames: Iterable[TrackedFrame]) -> Iterator[TrackedFrame]:
        """Gives the detections their ids, boxes cut to the picture. Frames come out one late: a new person is
        reported only when they are found a second time, and then belongs to the first of the two frames as well."""
        tracker = self._new_tracker()
        before: TrackedFrame | None = None
        for tracked in frames:
            detections = np.zeros((0, 5)) if tracked.detections is None else tracked.detections
            found = tracker.update(detections, tracked.frame.image)
            if before is not None:
                yield _with(before, found.late)
            before = _with(tracked, found.people)
        if before is not None:
            yield before

    def check_end(self, frames: int) -> None:
        """Every number of frames fits."""

    def describe(self) -> dict[str, Any]:
        return {
            "detector": self.detector.describe(),
            "tracker": self._tracker,
            "min_score": self.min_score,
        }


class BoxesFile:
    """People from a file, in place of detector and tracker.

    MOT text, one person a line, comma or blank between the numbers: frame (the first is 1), id, left, top, width,
    height (pixels), and optionally a confidence. Nine numbers are taken for MOTChallenge ground truth: lines whose
    seventh is 0 are to be ignored there, and of the classes in the eighth 1, 2 and 7 are people. A confidence
    outside 0..1 counts as 1. Anything else (``.json``, ``.jsonl``): a poses file of ours, in any of its formats.

    Boxes are cut to the picture; one that lies beside it is left out. The file must fit the video: no box in a
    frame that the video doesn't have, at most a tenth of the boxes beside the picture, and for poses files the
    same size and number of frames.

    Raises:
        InputError: unreadable, wrong numbers, the same id twice in a frame, or a file of another video.
    """

    def __init__(self, path: Path | str, info: VideoInfo) -> None:
        self.path = Path(path)
        self.kind = "mot" if self.path.suffix.lower() not in (".json", ".jsonl") else "poses"
        self._of: dict[int, dict[int, Person]] = {}
        boxes = outside = 0
        for place, index, person in _read_poses(self.path, info) if self.kind == "poses" else _read_mot(self.path):
            if info.frames is not None and index >= info.frames:
                raise InputError(
                    f"{self.path}: {place} is about frame {index + 1}, but {Path(info.path).name} has {info.frames} "
                    "frames; the file belongs to another video"
                )
            of = self._of.setdefault(index, {})
            if person.track_id in of:
                raise InputError(f"{self.path}: {place} names id {person.track_id} a second time in frame {index + 1}")
            box = _cut(person.box, info.width, info.height)
            boxes += 1
            outside += box is None
            of[person.track_id] = person if box is None else replace(person, box=box)
            if box is None:
                del of[person.track_id]
        if outside > _OUTSIDE * boxes:
            raise InputError(
                f"{self.path}: {outside} of {boxes} boxes lie beside the {info.width}x{info.height} picture of "
                f"{Path(info.path).name}; the file belongs to another video"
            )
        self.last = max(self._of, default=-1)  # 0-based index of the last frame with a box

    def __call__(self, frame: Frame) -> TrackedFrame:
        of = self._of.get(frame.index, {})
        return TrackedFrame(frame, tuple(of[i] for i in sorted(of)))

    def detect(self, frames: Sequence[Frame]) -> list[None]:
        """Nothing: the file says who is where."""
        return [None] * len(frames)

    def follow(self, frames: Iterable[TrackedFrame]) -> Iterator[TrackedFrame]:
        """The frames with the people that the file names."""
        for tracked in frames:
            yield replace(tracked, people=self(tracked.frame).people)
            del tracked  # a name for the newest frame would keep it alive until the next one replaces it

    def check_end(self, frames: int) -> None:
        """Once the whole video is decoded: was every box used?

        Raises:
            InputError: the file has boxes in frames that the video turned out not to have.
        """
        if self.last >= frames:
            raise InputError(
                f"{self.path}: goes on to frame {self.last + 1}, but the video ends with frame {frames}; "
                "the file belongs to another video"
            )

    def describe(self) -> dict[str, Any]:
        return {"boxes": self.path.name, "format": self.kind}


def _with(tracked: TrackedFrame, rows: np.ndarray) -> TrackedFrame:
    """The frame with more people: rows of a tracker (id, xyxy, score). Boxes are cut to the picture."""
    height, width = tracked.frame.image.shape[:2]
    boxes = [(row, _cut(row[1:5], width, height)) for row in rows]
    more = [Person(int(row[0]), box, float(row[5])) for row, box in boxes if box is not None]
    people = sorted((*tracked.people, *more), key=lambda person: person.track_id)
    return replace(tracked, people=tuple(people)) if more else tracked


def _cut(box: np.ndarray, width: int, height: int) -> np.ndarray | None:
    """(4,) float64 xyxy inside the picture; None where nothing of it is left."""
    x0, x1 = np.clip([box[0], box[2]], 0, width)
    y0, y1 = np.clip([box[1], box[3]], 0, height)
    if x1 - x0 < SMALLEST or y1 - y0 < SMALLEST:
        return None
    return np.array([x0, y0, x1, y1], np.float64)


def _read_mot(path: Path) -> Iterator[tuple[str, int, Person]]:
    """("line 3", 0-based frame index, person) of a MOT text file."""
    people = 0
    try:
        with open(path, encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                text = line.strip()
                if not text or text.startswith("#"):
                    continue
                place = f"line {number}"
                row = _mot_numbers(path, place, text)
                if len(row) == 9 and (row[6] == 0 or int(row[7]) not in (1, 2, 7)):
                    continue
                people += 1
                score = row[6] if len(row) > 6 and 0 <= row[6] <= 1 else 1.0
                box = np.array([row[2], row[3], row[2] + row[4], row[3] + row[5]])
                yield place, int(row[0]) - 1, Person(int(row[1]), box, float(score))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file; --boxes takes MOT text or a poses file") from error


def _mot_numbers(path: Path, place: str, text: str) -> list[float]:
    """The checked numbers of one line: frame, id, left, top, width, height, and more where given."""
    try:
        row = [float(value) for value in (text.split(",") if "," in text else text.split())]
    except ValueError as error:
        raise InputError(f"{path}: {place} is not MOT text (frame, id, left, top, width, height, ...)") from error
    if not 6 <= len(row) <= 10:
        raise InputError(f"{path}: {place} has {len(row)} numbers; MOT text has 6 to 10")
    if not all(math.isfinite(value) and abs(value) < 1e9 for value in row[:6]):
        raise InputError(f"{path}: {place} holds a number that is not finite or far too large")
    if row[0] != int(row[0]) or row[0] < 1:
        raise InputError(f"{path}: {place} has frame number {row[0]:g}; frames are counted from 1")
    if row[1] != int(row[1]) or row[1] < 0:
        raise InputError(
            f"{path}: {place} has id {row[1]:g}; every person needs a track id of 0 or more (detections without ids "
            "must be tracked first)"
        )
    if row[4] <= 0 or row[5] <= 0:
        raise InputError(f"{path}: {place} has a box of {row[4]:g} x {row[5]:g} pixels")
    return row


def _read_poses(path: Path, info: VideoInfo) -> Iterator[tuple[str, int, Person]]:
    """("frame 3", 0-based frame index, person) of a poses file in any of our formats."""
    from ftpcli.formats import open_poses

    try:
        with open_poses(path) as poses:
            source, options = poses.header.source, poses.header.run.options
            # A run that was ended early, or that met damage, saw fewer frames than the container claims.
            partial = bool(source.bad_packets) or "end" in options
            sizes = (("width", source.width, info.width), ("height", source.height, info.height))
            for name, want, have in (*sizes, ("frames", source.frames, info.frames)):
                if want is None or have is None:
                    continue
                if want != have and not (name == "frames" and partial and want < have):
                    raise InputError(
                        f"{path}: was made for a video with {name} {want}, {Path(info.path).name} has {have}"
                    )
            for record in poses:
                for pose in record.poses:
                    place, box = f"frame {record.index + 1}", np.asarray(pose.box, np.float64)
                    if not np.isfinite(box).all() or box[2] <= box[0] or box[3] <= box[1]:
                        raise InputError(f"{path}: {place} has a person with an impossible box")
                    yield place, record.index, Person(pose.track_id, box, float(pose.score), filled=pose.filled)
    except FtpError:
        raise
    except (OSError, json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a poses file ({error})") from error
