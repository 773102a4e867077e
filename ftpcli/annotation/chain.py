"""Joins the parts into one chain: frames, people, windows, poses, one record per decoded frame.

Everything streams. Work goes in chunks of a few frames, so that several people's windows share a batch; a chunk's
bounds depend on frame positions alone, so a resumed run forms the same batches as an unbroken one. Of a live source
those frames are worked on together that wait.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

import numpy as np

from ftpcli.annotation.options import Options
from ftpcli.device import is_accelerator
from ftpcli.errors import InputError
from ftpcli.files.ahead import Ahead
from ftpcli.files.inputs import can_reread
from ftpcli.files.stages import Stage, in_stage, stage
from ftpcli.people.cuts import Shots
from ftpcli.people.gaps import FillGaps
from ftpcli.pose.claims import settle_claims
from ftpcli.pose.smoothing import Smoothing
from ftpcli.pose.tokens import SharedTokens
from ftpcli.pose.views import HoldViews
from ftpcli.pose.windows import Windows, chunk_frames, held_frames
from ftpcli.records import Frame, FramePoses, Header, RunInfo, SourceInfo, TrackedFrame, VideoInfo, Window
from ftpcli.skeleton import Skeleton
from ftpcli.version import __version__

if TYPE_CHECKING:
    from ftpcli.people.sources import PeopleSource
    from ftpcli.pose.estimator import Estimator
    from ftpcli.video import FrameSource


@dataclass(frozen=True, slots=True, eq=False)
class Annotated:
    """One frame's result.

    Attributes:
        frame: the picture it belongs to.
        poses: the result, smoothed where that was asked for.
        raw: as the model gave them; the same object where nothing was smoothed.
        detections: (N, 5) float32 xyxy and score, everything the detector saw; None where boxes were given.
    """

    frame: Frame
    poses: FramePoses
    raw: FramePoses
    detections: np.ndarray | None


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """What an interrupted run had worked out for a frame, see :class:`Annotated`, or the parts of a split one."""

    raw: FramePoses
    detections: np.ndarray | None
    thumbnail: np.ndarray | None = None


@runtime_checkable
class StoredFrames(Protocol):
    """A source of frames that were worked on elsewhere (:mod:`ftpcli.annotation.split`)."""

    def stored(self) -> Iterator[Stored]: ...  # of each frame, from the first one on


#: Most frames of a live source that are worked on together: those that wait, and only one where the work keeps up.
_LIVE_CHUNK = 4
#: So many times as many frames may be held until somebody is found again: 0.2 s at 240 a second, or of 4K at 60.
_IN_GAPS = 6
#: Of a source's first frames fewer, so that something is seen soon.
_FIRST_CHUNK = 2
#: A step of the chain: frames in, the same frames out, in order, with more known of each.
Step = Callable[[Iterator[TrackedFrame]], Iterator[TrackedFrame]]
#: A key frame and the windows of its people, in their order.
Key = tuple[TrackedFrame, tuple[Window, ...]]


class Annotation:
    """A run over one source. Iterating yields a :class:`FramePoses` per decoded frame, in order.

    Use as a context manager, or run the iteration to its end; either closes the source.

    Args:
        source: opened (entered) already.
        people: of this source alone; ids begin with it.
        options: which stages the frames go through; recorded in the header.
        content: of the source, see :func:`ftpcli.files.content.content_of`.
    """

    def __init__(
        self,
        source: FrameSource,
        people: PeopleSource,
        estimator: Estimator,
        options: Options | None = None,
        content: str | None = None,
    ) -> None:
        self._source, self._people, self._estimator, self.content = source, people, estimator, content
        self._options = self.options = o = options or Options()
        self.cut_frames: list[int] = []  # indices of the first frames after camera cuts
        chunk = chunk_frames(source.info, estimator.device)
        self._steps: list[Step] = [people.follow]
        if o.fill_gaps and o.boxes is None:
            self._steps.append(FillGaps(o.fill_gaps * o.detect_every, held_frames(source.info, _IN_GAPS)))
        if o.hold_views:
            self._steps.append(HoldViews(o.hold_views))
        self._begin_shot(0)
        #: Frames in a chunk: fewer where pictures are large.
        self.chunk_frames = min(chunk, _LIVE_CHUNK) if self.live else chunk
        # On an accelerator a chunk takes a moment, and its batch is one more size to prepare for.
        self._first_frames = min(_FIRST_CHUNK if self._on_cpu and not self.live else chunk, self.chunk_frames)
        self.frames = self.replayed = 0
        self._ahead: Ahead[Key] | None = None  # finds and follows people beside the estimation of poses

    @property
    def _on_cpu(self) -> bool:
        return not is_accelerator(self._estimator.device)

    def whole(self, stored: int) -> int:
        """How many of the first frames, of which so many are stored, make whole chunks."""
        if self._first_frames <= stored < self.chunk_frames:
            return self._first_frames
        return stored // self.chunk_frames * self.chunk_frames

    @property
    def info(self) -> VideoInfo:
        return self._source.info

    @property
    def live(self) -> bool:
        """Whether the source goes on without waiting."""
        return self._source.live is not None

    def delays(self, chunk: list[Annotated]) -> list[float]:
        """Seconds from the arrival of each frame of a live source until now; nothing for other sources."""
        now, arrivals = time.monotonic(), self._source.live.arrivals if self._source.live else {}
        return [now - arrivals.pop(one.frame.index) for one in chunk if one.frame.index in arrivals]

    @property
    def frame_name(self) -> Callable[[int], str] | None:
        """File name of a frame's picture, where the source is a folder of pictures."""
        return self._source.frame_name

    @property
    def header(self) -> Header:
        """Complete once the iteration is over: frames and bad packets are known only then."""
        source = SourceInfo(
            path=_file_name(self.info.path),
            content=self.content,
            frames=self._source.decoded,
            annotated_frames=self.frames,
            bad_packets=self._source.bad_packets,
            warnings=(*self._source.warnings, *self._people.warnings),
        ).of_video(self.info)
        run = RunInfo(
            program="ftp",
            version=__version__,
            model=self._estimator.provenance,
            people=self._people.describe(),
            engine=self._estimator.engine.name,
            device=self._estimator.device.partition(":")[0],
            precision=self._estimator.precision,
            window=self._estimator.window,
            options=self._options.recorded(),
        )
        return Header(self._estimator.joints, source, run)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._ahead is None or self.live:  # a live source may have no frame for the thread that waits for one
            self._source.close()
        if self._ahead is not None:
            self._ahead.close()

    def __iter__(self) -> Iterator[FramePoses]:
        for chunk in self.chunks():
            for one in chunk:
                yield one.poses

    @property
    def expected(self) -> int | None:
        """Frames that will come, as far as is known before they are read."""
        return self._source.expected

    def chunks(self, stored: Iterable[Stored] = ()) -> Iterator[list[Annotated]]:
        """The same by chunks of consecutive frames, with pictures and raw results.

        Args:
            stored: what an interrupted run had done, from the first frame on, whole chunks only: detector and model
                aren't asked again about those frames; the state of all other stages is that of an unbroken run.
        """
        stored = self._source.stored() if isinstance(self._source, StoredFrames) else stored
        yield from self.estimated(self.followed(stored))
        # Where the run ends early, the people of a boxes file may be in later frames.
        if self._options.end is None and self._options.duration is None:
            self._people.check_end(self._source.decoded)
        self.close()

    def followed(self, stored: Iterable[Stored] = ()) -> Iterator[TrackedFrame]:
        """Frames with their people. Every shot goes through the stages as a video of its own."""
        frames = self.detected(iter(stored))
        if self._options.cuts:
            frames = Shots(self.chunk_frames)(frames)
        for _, shot in groupby(frames, key=lambda tracked: tracked.shot):
            for step in self._steps:
                shot = step(shot)
            yield from shot

    def estimated(self, frames: Iterator[TrackedFrame], begins: bool = True) -> Iterator[list[Annotated]]:
        """Chunks of followed frames with the poses of their people; no window reaches into another shot.

        Args:
            begins: whether the frames are the source's first ones; on a CPU the first chunk of a file is then two.
        """
        shots = groupby(frames, key=lambda tracked: tracked.shot)
        keys = in_stage(Stage.TRACK, (key for _, shot in shots for key in Windows(self._estimator.window)(shot)))
        if self._ahead is not None:
            raise RuntimeError("an annotation is iterated once; open the source again")
        # A pipe may keep a thread waiting for ever. On an accelerator each new thread would prepare the detector's
        # operations once more, which takes seconds.
        if self._on_cpu and (self.live or can_reread(self.info.path)):
            # The thread that reads the source closes it, too. A chunk that it has begun is waited for.
            self._ahead = Ahead(keys, self.chunk_frames, self._source.close, leaving=None)
            keys = iter(self._ahead)
        tokens = SharedTokens()
        few = self._first_frames if begins else 0
        for size in filter(None, chain((few, self.chunk_frames - few), repeat(self.chunk_frames))):
            chunk = list(islice(keys, 1 if self.live else size))
            if self.live and self._ahead is not None:
                chunk += islice(keys, min(self._ahead.waiting, size - 1))
            if not chunk:
                break
            yield self._annotate(chunk, tokens)

    def _group(self, frames: Iterator[Frame]) -> deque[Frame]:
        """The next frames to be looked at together; of a live source those that are there."""
        live = self._source.live
        return deque(islice(frames, self.chunk_frames if live is None else min(self.chunk_frames, live.waiting or 1)))

    def detected(self, stored: Iterator[Stored]) -> Iterator[TrackedFrame]:
        """Frames with their detections, and with their poses where an interrupted run had them.

        As many frames as a chunk has are looked at together: all of them where some are stored, so that batches are
        those of an unbroken run.
        """
        frames, read = in_stage(Stage.DECODE, self._source), 0
        while group := self._group(frames):
            known = list(islice(stored, len(group)))
            for frame, one in zip(group, known, strict=False):
                if (one.raw.index, one.raw.pts) != (frame.index, frame.pts):
                    raise InputError(
                        f"{self.info.path}: frame {frame.index} is not the one that the interrupted run saw; "
                        "start again with --overwrite"
                    )
            looked = [(read + place) % self._options.detect_every == 0 for place in range(len(group))]
            read += len(group)
            new = [] if len(known) == len(group) else [f for f, look in zip(group, looked, strict=True) if look]
            with stage(Stage.DETECT):
                found = iter(self._people.detect(new) if new else [])
            del new  # each frame is released as it is yielded
            for one, look in zip(known, looked, strict=False):
                if look:
                    next(found, None)  # looked at for the batch's sake alone
                yield TrackedFrame(group.popleft(), detections=one.detections, stored=one.raw, thumbnail=one.thumbnail)
            for look in looked[len(known) :]:
                yield TrackedFrame(group.popleft(), detections=next(found) if look else None)

    def _begin_shot(self, shot: int) -> None:
        """What looks back at frames before begins afresh."""
        self.cuts = shot
        self._smoother = Smoothing(self._options.smooth).start()

    def _annotate(self, chunk: list[Key], tokens: SharedTokens) -> list[Annotated]:
        windows = [window for _, mine in chunk for window in mine]
        records = [tracked.stored for tracked, _ in chunk if tracked.stored]
        if len(records) == len(chunk):
            self._estimator.pass_over(windows, tokens)
            self.replayed += len(chunk)
        else:
            poses = iter(self._estimator.estimate(windows, tokens))
            skeleton = Skeleton("model", self._estimator.joints)
            records = [
                FramePoses(
                    t.frame.index, t.frame.pts, t.frame.seconds, settle_claims([*islice(poses, len(mine))], skeleton)
                )
                for t, mine in chunk
            ]
        self.frames += len(chunk)
        return [self._finish(tracked, record) for (tracked, _), record in zip(chunk, records, strict=True)]

    def _finish(self, tracked: TrackedFrame, raw: FramePoses) -> Annotated:
        """What needs the frames before: smoothing."""
        if tracked.shot != self.cuts:
            self._begin_shot(tracked.shot)
            self.cut_frames.append(tracked.frame.index)
        return Annotated(tracked.frame, self._smoother(raw) if self._smoother else raw, raw, tracked.detections)


def _file_name(path: str) -> str:
    """Without folders, which are the machine's business; ``.`` and ``..`` by the name of the folder they mean."""
    name = path.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return Path(path).resolve().name if name in ("", ".", "..") else name
