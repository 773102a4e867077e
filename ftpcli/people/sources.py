"""Who is where: people found and followed by a detector and a tracker, or read from a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ftpcli.datasets.mot import read_mot
from ftpcli.datasets.poses import is_poses_file, open_poses
from ftpcli.datasets.same_video import ends_early, picture_of, step_of
from ftpcli.errors import InputError
from ftpcli.files.inputs import STANDARD, require_file
from ftpcli.files.tensors import sha256
from ftpcli.people.gaps import between
from ftpcli.people.tracking import Tracker, TrackerName, memory_frames
from ftpcli.records import Frame, Person, TrackedFrame, VideoInfo

if TYPE_CHECKING:
    from ftpcli.people.loading import Detector

#: A box with a side below this many pixels, after cutting it to the picture, is no person.
SMALLEST = 1.0
#: Share of the boxes of a file that may lie beside the picture. Trackers write such boxes for people who just left.
_OUTSIDE = 0.1


class PeopleSource(Protocol):
    """Names the people of each frame. Frames come in their order; each video needs a source of its own.

    Attributes:
        warnings: what the user should know of them, one line each.

    `detect` looks at frames by themselves; what it returns can be stored, and a resumed run need not ask again.
    `follow` depends on nothing but that and the frames before.
    """

    warnings: Sequence[str]

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
        detector: see `ftpcli.people.loading.load_detector`.
        frame_rate: of the frames that are looked at, per second; None where unknown.
        min_score: from this score on, a detection may become a person; None: what the detector recommends.
        appearance: see `Tracker`.
    """

    warnings: Sequence[str] = ()

    def __init__(
        self,
        detector: Detector,
        tracker: str = TrackerName.BYTETRACK,
        frame_rate: float | None = None,
        min_score: float | None = None,
        appearance: bool = False,
    ) -> None:
        self.detector = detector
        self.min_score = detector.score if min_score is None else min_score
        self._new_tracker = partial(Tracker, TrackerName(tracker), frame_rate, self.min_score, count(1), appearance)
        self._tracker = {"name": str(tracker), "memory_frames": memory_frames(frame_rate)}

    def detect(self, frames: Sequence[Frame]) -> list[np.ndarray]:
        """(N, 5) float32 xyxy and score of the people in each frame, weak ones included, best first."""
        return self.detector.detect_batch([frame.image for frame in frames])

    def follow(self, frames: Iterable[TrackedFrame]) -> Iterator[TrackedFrame]:
        """Gives the detections their ids, boxes cut to the picture. Frames come out one late: a new person is
        reported only when they are found a second time, and then belongs to the first of the two frames as well.

        In a frame without detections (None: the detector did not look at it) are those who are found before and after
        it, on the straight line between; at the ends of the shot, those of the nearest frame with detections."""
        tracker = self._new_tracker()
        skipped: list[TrackedFrame] = []  # before the first frame with detections, then after the latest
        early: list[TrackedFrame] = []
        before: TrackedFrame | None = None
        for tracked in frames:
            if tracked.detections is None:
                skipped.append(tracked)
                continue
            found = tracker.update(tracked.detections, tracked.frame.image)
            now = _with(tracked, found.people)
            if before is None:
                early, skipped = skipped, early
            else:
                before = _with(before, found.late)
                yield from _between(None, early, before)
                yield before
                yield from _between(before, skipped, now)
            before = now
            del tracked, now  # a name for the newest frame would keep it alive until the next one replaces it
        if before is None:
            yield from skipped
            return
        yield from _between(None, early, before)
        yield before
        yield from _between(before, skipped, None)

    def check_end(self, frames: int) -> None:
        """Every number of frames fits."""

    def describe(self) -> dict[str, Any]:
        return {
            "detector": self.detector.describe(),
            "tracker": self._tracker,
            "min_score": self.min_score,
        }


def check_boxes(path: Path | str) -> None:
    """Read a boxes file for its faults alone, before anything that takes time. Raises InputError."""
    require_file(path)
    if is_poses_file(path):
        open_poses(path).close()
    else:
        read_mot(Path(path))


class BoxesFile:
    """People from a file, in place of detector and tracker: MOT text (see `read_mot`) or anything that `open_poses`
    reads, by its content.

    Boxes are cut to the picture; one that lies beside it is left out. The file must fit the video: no box in a
    frame that the video doesn't have, at most a tenth of the boxes beside the picture, and for poses files the
    same size and number of frames.

    Args:
        every: one frame of this many is asked for; a poses file that holds fewer is warned of.

    Attributes:
        warnings: what was left out or assumed, one line each that names the file.

    Raises:
        InputError: unreadable, wrong numbers, the same id twice in a frame, or a file of another video.
    """

    def __init__(self, path: Path | str, info: VideoInfo, every: int = 1) -> None:
        self.path = Path(path)
        require_file(path)
        self._sha256 = sha256(self.path)
        self.kind = "poses" if is_poses_file(path) else "mot"
        self.warnings: Sequence[str] = []
        # Those of a folder keep their places where one of them cannot be decoded.
        self._pictures = info.path != STANDARD and Path(info.path).is_dir()
        self._of: dict[int, dict[int, Person]] = {}
        boxes = outside = 0
        for place, index, person in self._poses(info, every) if self.kind == "poses" else self._mot():
            if info.frames is not None and index >= info.frames:
                raise InputError(
                    f"{self.path}: {place}has people in frame {index}, counted from 0, but {Path(info.path).name} has "
                    f"{info.frames} frames; the file belongs to another video"
                )
            of = self._of.setdefault(index, {})
            if person.track_id in of:
                raise InputError(
                    f"{self.path}: {place}names id {person.track_id} a second time in frame {index}, counted from 0"
                )
            box = _cut(person.box, info.width, info.height)
            boxes += 1
            outside += box is None
            of[person.track_id] = person if box is None else replace(person, box=box)
            if box is None:
                del of[person.track_id]
        beside = (
            f"{outside} of {boxes} boxes lie beside the {info.width}x{info.height} picture of {Path(info.path).name}"
        )
        if outside > _OUTSIDE * boxes:
            raise InputError(f"{self.path}: {beside}; the file belongs to another video")
        if outside:
            self.warnings = [*self.warnings, f"{self.path.name}: {beside} and are left out"]
        if not boxes:
            self.warnings = [*self.warnings, f"{self.path.name}: there is nobody in it"]
        self.last = max(self._of, default=-1)  # 0-based index of the last frame with a box

    def _mot(self) -> Iterator[tuple[str, int, Person]]:
        """("line 3 ", 0-based frame index, person)."""
        boxes, left_out = read_mot(self.path)
        self.warnings = [f"{self.path.name}: {line}" for line in left_out.lines()]
        return ((f"line {one.line} ", one.frame, Person(one.track, one.box, one.score)) for one in boxes)

    def _poses(self, info: VideoInfo, every: int) -> Iterator[tuple[str, int, Person]]:
        """("", frame index, person)."""
        with open_poses(self.path, info.path) as poses:
            self._pictures |= poses.by_name
            source = poses.header.source
            # A run that was ended early, or that met damage, saw fewer frames than the container claims.
            partial = bool(source.bad_packets) or ends_early(poses)
            sizes = (("width", source.width, info.width), ("height", source.height, info.height))
            for name, want, have in (*sizes, ("frames", source.frames, info.frames)):
                if want is None or have is None:
                    continue
                if want != have and not (name == "frames" and partial and want < have):
                    raise InputError(
                        f"{self.path}: was made for a video with {name} {want}, {Path(info.path).name} has {have}"
                    )
            for record in poses:
                index = picture_of(poses, record) if self._pictures else record.index
                for pose in record.poses:
                    box = np.asarray(pose.box, np.float64)
                    if not np.isfinite(box).all() or box[2] <= box[0] or box[3] <= box[1]:
                        raise InputError(f"{self.path}: frame {record.index} has a person with an impossible box")
                    yield "", index, Person(pose.track_id, box, float(pose.score), filled=pose.filled)
            self.warnings = [f"{self.path.name}: {line}" for line in poses.warnings]
            if every % (step := step_of(poses)):
                few = f"{self.path.name}: holds one frame of {step}; in the others is nobody; --every {step} skips them"
                self.warnings = [*self.warnings, few]

    def __call__(self, frame: Frame) -> TrackedFrame:
        of = self._of.get(frame.pts if self._pictures else frame.index, {})
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
        """Once the whole video is decoded: was every box used? Those that belong to pictures of a folder are checked
        at the beginning: a picture that cannot be decoded takes its boxes with it, and no others.

        Raises:
            InputError: the file has boxes in frames that the video turned out not to have.
        """
        if self.last >= frames and not self._pictures:
            raise InputError(
                f"{self.path}: has people in frame {self.last}, counted from 0, but the video has {frames} frames; "
                "the file belongs to another video"
            )

    def describe(self) -> dict[str, Any]:
        return {"boxes": self.path.name, "sha256": self._sha256, "format": self.kind}


def _between(
    before: TrackedFrame | None, skipped: list[TrackedFrame], after: TrackedFrame | None
) -> Iterator[TrackedFrame]:
    """Frames that the detector did not look at, with their people, see `DetectAndTrack.follow`; the list is emptied."""
    one, other = before or after, after or before
    assert one is not None and other is not None
    later, start = {person.track_id: person for person in other.people}, one.frame.seconds
    pairs = [(person, later[person.track_id]) for person in one.people if person.track_id in later]
    span = other.frame.seconds - start
    while skipped:
        tracked = skipped.pop(0)
        share = (tracked.frame.seconds - start) / span if span > 0 else 0.0
        yield replace(tracked, people=tuple(between(person, then, share) for person, then in pairs))


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
