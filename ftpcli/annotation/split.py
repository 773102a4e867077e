"""One long video by several workers: they look at stretches of it side by side, and its file is that of a single run.

1. The workers detect the people of each stretch, and keep thumbnails for finding camera cuts.
2. The run follows people through all of this, which takes no pictures: ids are those of an unsplit run.
3. The workers estimate the poses of each stretch, windows with their true neighbours, in an unsplit run's batches.
4. The run goes on as one that was interrupted does, with all of this stored.

What is stored lies in part files, in a folder beside the output. Memory depends on the length by some 50 bytes a frame.
"""

from __future__ import annotations

import base64
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from ftpcli.annotation.annotator import Annotator
from ftpcli.annotation.batch import Job, Stop, Tell, Video, annotate_noted, remove_split, split_folder
from ftpcli.annotation.chain import Annotation, Stored
from ftpcli.annotation.fingerprint import fingerprint
from ftpcli.annotation.options import Options
from ftpcli.annotation.outputs import Interrupted, Progress, Summary, Target
from ftpcli.errors import InputError, OutputError, UsageError
from ftpcli.files.inputs import Source, can_reread
from ftpcli.files.output import folders_if_used, make_folder
from ftpcli.files.status import StatusFile
from ftpcli.formats.partfile import PartRecord, PartWriter, read_part
from ftpcli.people.cuts import thumbnail
from ftpcli.people.tracking import TrackerName
from ftpcli.pose.windows import chunk_frames
from ftpcli.records import Frame, FramePoses, Person, TrackedFrame, VideoInfo
from ftpcli.video import VideoReader
from ftpcli.video.ranges import FrameTimes, RangeReader, UnfitError
from ftpcli.video.selection import Selection

#: Frames before a stretch, at least, whose windows shape the batches of its first ones; and after it, in windows.
_LEAD, _TAIL = 24, 2


def _lead(chunk: int) -> int:
    """Frames before a stretch, of whole chunks; the first of them has none before it, so that its batches differ."""
    return max(2, -(-_LEAD // chunk)) * chunk


#: Does the jobs on workers; raises the first error.
Share = Callable[[Sequence[Job], Stop], None]


def check_split(seconds: float, options: Options, source: Source, target: Target) -> None:
    """Refuse before models load what cannot be (UsageError)."""
    tracker = TrackerName(options.tracker)
    refused = {
        f"--tracker {tracker}: looks at pictures; choose another one": tracker.sees and options.boxes is None,
        "--overlay, --show: draw the finished file with ftp render": target.overlay is not None or target.show,
        "--frames: write them with ftp convert": target.frames is not None,
        f"{source.path}: is for video files and output files": source.kind != "video"
        or not can_reread(source.path)
        or target.out is None,
        "give at least 1 second": not 1 <= seconds < float("inf"),
    }
    for why, so in refused.items():
        if so:
            raise UsageError(f"--split {seconds:g}: {why}")


@dataclass(frozen=True, slots=True)
class Split:
    """Annotate one video, in stretches of so many seconds."""

    shared: ClassVar[bool] = True
    video: Video
    seconds: float
    share: Share

    @property
    def source(self) -> Source:
        return self.video.source

    @property
    def out(self) -> Path | None:
        return self.video.out

    def run(self, annotator: Annotator, status: StatusFile | None, tell: Tell, stop: Stop) -> Summary:
        own = annotator.with_options(**self.source.own)
        reading = own.reading(lambda path: _Frames(self, own, stop))
        try:
            done = annotate_noted(reading, self.source, self.video.target, status, tell=tell, stop=stop)
        except UnfitError:  # what was stored is of no use to a run without --split
            remove_split(self.out)
            raise
        remove_split(self.out)
        return done if done.already else replace(done, replayed=0)

    def again(self, begun: bool) -> Self:
        return self


class _Known:
    """A source of frames that were decoded elsewhere: their times, without pictures."""

    live = frame_name = None

    def __init__(self, info: VideoInfo, parts: list[_Detect], decoded: int = 0) -> None:
        self.info, self.parts, self.decoded = info, parts, decoded
        self.bad_packets, self.warnings = 0, list[str]()
        self.expected: int | None = None

    def __enter__(self) -> Self:
        return self

    def close(self) -> None:
        """Nothing is open between two frames."""

    def __iter__(self) -> Iterator[Frame]:
        blank = np.broadcast_to(np.uint8(0), (self.info.height, self.info.width, 3))
        for part in self.parts:
            for record in read_part(part.path):
                yield Frame(record.frame.index, record.frame.pts, record.frame.seconds, blank)

    def stored(self) -> Iterator[Stored]:
        """What the detector saw in each frame."""
        return (_stored(record, record.frame) for part in self.parts for record in read_part(part.path))


class _Frames(_Known):
    """The video's frames; the first one that is asked for has the workers make everything that is to be known."""

    def __init__(self, split: Split, annotator: Annotator, stop: Stop) -> None:
        self._split, self._annotator, self._stop = split, annotator, stop
        self._poses: list[_Estimate] = []
        assert split.out is not None
        self._folder = split_folder(split.out)
        o, path = annotator.options, split.source.path
        times: dict[str, Any] = {"start": o.start, "end": o.end, "every": o.every, "duration": o.duration}
        self._selection = Selection(path, **times)
        with VideoReader(path, rotate=o.rotate, **times) as reader:
            super().__init__(reader.info, [])
            self.warnings, self.expected = list(reader.warnings), reader.expected

    def __iter__(self) -> Iterator[Frame]:
        folder, target = self._folder, self._split.video.target
        if folder.exists() and not target.resume:
            if not target.overwrite:
                raise OutputError(
                    f"{folder}: holds an unfinished run; go on with --resume, or start again with --overwrite"
                )
            shutil.rmtree(folder, ignore_errors=True)
        with folders_if_used(folder):
            make_folder(folder)
            yield from self._frames()

    def _frames(self) -> Iterator[Frame]:
        source, folder, annotator = self._split.source, self._folder, self._annotator
        wanted, decoded = FrameTimes.of(source.path, self._selection)
        chunk = chunk_frames(self.info, annotator.estimator.device)
        step = chunk * annotator.options.detect_every  # a stretch begins where an unsplit run's batches do
        long = self._split.seconds / float(self.info.time_base)
        bounds = [0]
        for place in range(step, len(wanted), step):
            if wanted.pts[place] - wanted.pts[bounds[-1]] >= long:
                bounds.append(place)
        bounds.append(len(wanted))
        lead = _lead(chunk)
        for number, (start, end) in enumerate(pairwise(bounds)):
            self.parts.append(_Detect(source, self._split.out, folder, number, wanted.part(start, end)))
            first = max(0, start - lead)
            around = wanted.part(first, end + _TAIL)
            self._poses.append(_Estimate(source, self._split.out, folder, number, around, first, start, end))
        self._share(self.parts)
        self._follow()
        self._share(self._poses)
        self.decoded = decoded
        yield from super().__iter__()

    def _share(self, jobs: Sequence[Job]) -> None:
        self._split.share(jobs, self._stop)
        if self._stop():
            raise Interrupted(
                f"{self._split.source.path}: stopped; what is done is kept in {self._folder.name}, go on with --resume"
            )

    def _follow(self) -> None:
        """Write down who is where, for each stretch and what lies around it."""
        known = _Known(self.info, self.parts)
        annotation = self._annotator.reading(lambda path: known).open(self._split.source.path)
        left, begun = deque(self._poses), deque[tuple[int, PartWriter]]()
        with ExitStack() as stack:
            for place, tracked in enumerate(annotation.followed(known.stored())):
                while left and left[0].first <= place:
                    job = left.popleft()
                    writer = PartWriter(job.people, annotation.header, {}, overwrite=True)
                    begun.append((job.first + len(job.wanted), stack.enter_context(writer)))
                frame = tracked.frame
                for _, writer in begun:
                    writer.append(FramePoses(frame.index, frame.pts, frame.seconds, ()), _people(tracked))
                while begun and begun[0][0] <= place + 1:
                    begun.popleft()[1].close()

    def stored(self) -> Iterator[Stored]:
        """The poses, too."""
        for part, poses in zip(self.parts, self._poses, strict=True):
            for record, found in zip(read_part(part.path), read_part(poses.path), strict=True):
                yield _stored(record, found.frame)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """What a worker is given: a stretch of a video, and where the results go.

    Attributes:
        wanted: its frames.
    """

    shared: ClassVar[bool] = False
    source: Source
    out: Path | None
    folder: Path
    number: int
    wanted: FrameTimes

    def again(self, begun: bool) -> Self:
        return self

    def _open(self, annotator: Annotator, stack: ExitStack, path: Path, count: int, align: int) -> _Open | None:
        """Its frames and the part file, which holds whole batches of an interrupted worker; None where all is done."""
        annotator = annotator.with_options(**self.source.own)
        reader = RangeReader(self.source.path, self.wanted, rotate=annotator.options.rotate)
        annotation = stack.enter_context(annotator.reading(lambda path: reader).open(self.source.path))
        run = {**fingerprint(annotator, self.source.path, annotation.content), "stretch": [self.wanted.pts[0], count]}
        part = stack.enter_context(PartWriter(path, annotation.header, run, resume=True))
        if part.records == count:
            return None
        align *= annotation.chunk_frames
        part.truncate_to(part.records // align * align)
        return _Open(reader, annotation, part)


@dataclass(frozen=True, slots=True)
class _Open:
    reader: RangeReader
    annotation: Annotation
    part: PartWriter


class _Detect(_Stretch):
    """Find people."""

    @property
    def path(self) -> Path:
        return self.folder / f"detections-{self.number:05}.jsonl"

    def run(self, annotator: Annotator, status: StatusFile | None, tell: Tell, stop: Stop) -> None:
        with ExitStack() as stack:
            count = len(self.wanted)
            opened = self._open(annotator, stack, self.path, count, annotator.options.detect_every)
            if opened is None:
                return
            part, size = opened.part, opened.annotation.chunk_frames
            opened.reader.wanted = self.wanted.part(part.records)
            frames = opened.annotation.detected(iter(()))
            while records := [_detections(tracked) for tracked in islice(frames, size)]:
                part.extend(records)
                _tell(part.records, count, tell, stop)


@dataclass(frozen=True, slots=True)
class _Estimate(_Stretch):
    """Estimate the poses of the frames from ``start`` to before ``end``; ``wanted`` begins at ``first``.

    All three are places among the wanted frames of the video.
    """

    first: int
    start: int
    end: int

    @property
    def path(self) -> Path:
        return self.folder / f"poses-{self.number:05}.jsonl"

    @property
    def people(self) -> Path:
        return self.folder / f"people-{self.number:05}.jsonl"

    def run(self, annotator: Annotator, status: StatusFile | None, tell: Tell, stop: Stop) -> None:
        with ExitStack() as stack:
            count = self.end - self.start
            opened = self._open(annotator, stack, self.path, count, 1)
            if opened is None:
                return
            part, size = opened.part, opened.annotation.chunk_frames
            begin = self.start + part.records
            lead = min(begin, _lead(size))
            skip = begin - lead - self.first
            opened.reader.wanted = self.wanted.part(skip)
            frames = _followed(opened.reader, islice(read_part(self.people), skip, None), lead)
            for chunk in opened.annotation.estimated(frames, begins=begin == lead):
                if opened.annotation.frames <= lead:
                    continue
                part.extend((one.raw, {}) for one in chunk)
                _tell(part.records, count, tell, stop)
                if part.records >= count:
                    return


def _tell(done: int, total: int, tell: Tell, stop: Stop) -> None:
    tell(Progress(done, total))
    if stop():
        raise Interrupted("stopped")


def _detections(tracked: TrackedFrame) -> tuple[FramePoses, dict[str, Any]]:
    frame, small = tracked.frame, thumbnail(tracked.frame.image)
    private = {
        "detections": tracked.detections,
        "thumbnail": base64.b64encode(small.tobytes()).decode(),
        "size": small.shape,
    }
    return FramePoses(frame.index, frame.pts, frame.seconds, ()), private


def _stored(record: PartRecord, frame: FramePoses) -> Stored:
    rows, size = record.private["detections"], record.private["size"]
    small = np.frombuffer(base64.b64decode(record.private["thumbnail"]), np.uint8).reshape(size)
    return Stored(frame, None if rows is None else np.array(rows, np.float32).reshape(-1, 5), small)


def _people(tracked: TrackedFrame) -> dict[str, Any]:
    people = [[p.track_id, p.box, p.score, p.view, p.filled] for p in tracked.people]
    return {"shot": tracked.shot, "people": people}


def _followed(frames: RangeReader, records: Iterator[PartRecord], lead: int) -> Iterator[TrackedFrame]:
    """Frames with the people that were written down; of the first ones the poses are not wanted."""
    for place, (frame, record) in enumerate(zip(frames, records, strict=False)):
        if frame.pts != record.frame.pts:
            raise InputError(f"{frames.info.path}: has changed since the run began; start again with --overwrite")
        people = tuple(
            Person(number, np.array(box), score, None if view is None else np.array(view), filled)
            for number, box, score, view, filled in record.private["people"]
        )
        known = record.frame if place < lead else None
        yield TrackedFrame(frame, people, stored=known, shot=record.private["shot"])
        del frame  # a name for the newest frame would keep it alive until the next one replaces it
