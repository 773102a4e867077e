"""Joins the parts into one chain: frames, people, windows, poses, one record per decoded frame.

Everything streams. Work goes in chunks of a few frames, so that several people's windows share a batch; a chunk's
bounds depend on frame positions alone, so a resumed run forms the same batches as an unbroken one.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ftpcli.annotation.options import Options
from ftpcli.errors import InputError
from ftpcli.people.gaps import FillGaps
from ftpcli.people.sources import BoxesFile, DetectAndTrack
from ftpcli.pose.second_look import SecondLook
from ftpcli.pose.smoothing import Smoother
from ftpcli.pose.views import HoldViews
from ftpcli.pose.windows import Windows, held_frames
from ftpcli.records import Frame, FramePoses, Header, RunInfo, SourceInfo, TrackedFrame, VideoInfo, Window
from ftpcli.version import __version__

if TYPE_CHECKING:
    from ftpcli.people import Detector
    from ftpcli.people.sources import PeopleSource
    from ftpcli.pose.estimator import Estimator
    from ftpcli.video import FrameSource


@dataclass(frozen=True, slots=True, eq=False)
class Annotated:
    """One frame's outcome.

    Attributes:
        frame: the picture it belongs to.
        poses: as they are to be shown (smoothed where that was asked for).
        raw: as the model gave them.
        detections: (N, 5) float32 xyxy and score, everything the detector saw; None where boxes were given.
    """

    frame: Frame
    poses: FramePoses
    raw: FramePoses
    detections: np.ndarray | None


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """What an interrupted run had worked out for a frame."""

    raw: FramePoses
    detections: np.ndarray | None


class Annotation:
    """A run over one source. Iterating yields a :class:`FramePoses` per decoded frame, in order.

    Use as a context manager, or run the iteration to its end; either closes the source.

    Args:
        source: opened (entered) already.
        people: of this source alone; ids begin with it.
        stored: what an interrupted run had done, from the first frame on, whole chunks only: detector and model
            are not asked again about those frames, the tracker is, so that its state is that of an unbroken run.
        options: recorded in the header.
        to_the_end: the source is read to its end, so that people in later frames show a file of another video.
    """

    def __init__(
        self,
        source: FrameSource,
        people: PeopleSource,
        estimator: Estimator,
        *,
        gaps: FillGaps | None = None,
        views: HoldViews | None = None,
        second_look: SecondLook | None = None,
        smoother: Smoother | None = None,
        stored: Iterable[Stored] = (),
        options: dict[str, Any] | None = None,
        to_the_end: bool = True,
    ) -> None:
        self._source, self._people, self._estimator = source, people, estimator
        self._gaps, self._views, self._second_look, self._smoother = gaps, views, second_look, smoother
        self._stored = iter(stored)
        self._options = options or {}
        self._to_the_end = to_the_end
        self._tokens = estimator.tokens()
        self._pending: dict[int, tuple[np.ndarray | None, FramePoses | None]] = {}
        self.frames = 0
        self.replayed = 0

    @property
    def info(self) -> VideoInfo:
        return self._source.info

    @property
    def chunk_frames(self) -> int:
        """Frames in a chunk: fewer where pictures are large."""
        return held_frames(self.info)

    @property
    def frame_name(self) -> Callable[[int], str] | None:
        """File name of a frame's picture, where the source is a folder of pictures."""
        return getattr(self._source, "frame_name", None)

    @property
    def header(self) -> Header:
        """Complete once the iteration is over: frames and bad packets are known only then."""
        info = self.info
        source = SourceInfo(
            path=_file_name(info.path),
            width=info.width,
            height=info.height,
            rotation=info.rotation,
            mirrored=info.mirrored,
            time_base=info.time_base,
            average_rate=info.average_rate,
            codec=info.codec,
            frames=self._source.decoded,
            annotated_frames=self.frames,
            bad_packets=self._source.bad_packets,
            warnings=tuple(self._source.warnings),
        )
        run = RunInfo(
            program="ftp",
            version=__version__,
            model=self._estimator.provenance,
            people=self._people.describe(),
            device=self._estimator.device.type,
            precision=self._estimator.precision,
            window=self._estimator.window,
            options=self._options,
        )
        return Header(self._estimator.joints, source, run)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._source.close()

    def __iter__(self) -> Iterator[FramePoses]:
        for chunk in self.chunks():
            for one in chunk:
                yield one.poses

    @property
    def expected(self) -> int | None:
        """Frames that will come, as far as is known before they are read."""
        return self._source.expected

    def chunks(self, stored: Iterable[Stored] = ()) -> Iterator[list[Annotated]]:
        """The same by chunks of consecutive frames, with pictures and raw results."""
        self._stored = iter(stored)
        tracked = self._gaps(self._tracked()) if self._gaps else self._tracked()
        if self._views:
            tracked = self._views(tracked)
        windows = Windows(self._estimator.window)(tracked)
        while chunk := list(islice(windows, self.chunk_frames)):
            yield self._annotate(chunk)
        if self._to_the_end and isinstance(self._people, BoxesFile):
            self._people.check_end(self._source.decoded)
        self.close()

    def _detected(self) -> Iterator[tuple[Frame, np.ndarray | None, FramePoses | None]]:
        """Frames with their detections, and with their poses where an interrupted run had them.

        As many frames as a chunk has are looked at together; stored ones come in whole chunks, so that all frames of
        such a group are stored, or none.
        """
        people = self._people
        frames = iter(self._source)
        while group := deque(islice(frames, self.chunk_frames)):
            stored = list(islice(self._stored, len(group)))
            for frame, one in zip(group, stored, strict=False):
                if (one.raw.index, one.raw.pts) != (frame.index, frame.pts):
                    raise InputError(
                        f"{self.info.path}: frame {frame.index} is not the one that the interrupted run saw; "
                        "start again with --overwrite"
                    )
            known = [(one.detections, one.raw) for one in stored]
            new = list(islice(group, len(stored), None))
            found = people.detect_batch(new) if new and isinstance(people, DetectAndTrack) else [None] * len(new)
            del new  # each frame is let go as it is yielded
            for detections, raw in [*known, *((rows, None) for rows in found)]:
                yield group.popleft(), detections, raw

    def _tracked(self) -> Iterator[TrackedFrame]:
        """One frame late: only the next frame tells who of the new is no false alarm."""
        held: TrackedFrame | None = None
        for frame, detections, raw in self._detected():
            if isinstance(self._people, DetectAndTrack) and detections is not None:
                tracked = self._people.track(frame, detections)
                if held is not None:
                    held = self._people.with_late(held)
            else:
                tracked = self._people(frame)
            self._pending[frame.index] = (detections, raw)
            if held is not None:
                yield held
            held = tracked
        if held is not None:
            yield held

    def _annotate(self, chunk: list[tuple[TrackedFrame, tuple[Window, ...]]]) -> list[Annotated]:
        pending = [self._pending.pop(tracked.frame.index) for tracked, _ in chunk]
        raw = [record for _, record in pending if record is not None]
        new = len(raw) < len(chunk)
        if new:
            raw = self._estimate(chunk)
        else:
            self._estimator.pass_over(_windows(chunk), self._tokens)
            self.replayed += len(chunk)
        if self._second_look:
            tokens = self._estimator.tokens()  # of a stored chunk nobody knows where it was looked a second time
            for n, (tracked, windows) in enumerate(chunk):
                if new:
                    raw[n] = self._second_look(windows, raw[n], tokens)
                self._second_look.remember(tracked, raw[n])
        self.frames += len(chunk)
        return [
            Annotated(tracked.frame, self._smoother(record) if self._smoother else record, record, detections)
            for (tracked, _), record, (detections, _) in zip(chunk, raw, pending, strict=True)
        ]

    def _estimate(self, chunk: list[tuple[TrackedFrame, tuple[Window, ...]]]) -> list[FramePoses]:
        poses = iter(self._estimator.estimate(_windows(chunk), self._tokens))
        return [
            FramePoses(t.frame.index, t.frame.pts, t.frame.seconds, tuple(islice(poses, len(windows))))
            for t, windows in chunk
        ]


class Annotator:
    """The loaded models; opens one :class:`Annotation` per source.

    Args:
        device, precision, batch: see :class:`ftpcli.pose.estimator.Estimator`.
        trust: allow detector files that can run code when opened.
        allow_network: accept addresses as sources.

    Raises:
        UsageError: an option that makes no sense, or a device that is not there.
        InputError: weights, detector or boxes file missing or damaged.
    """

    def __init__(
        self,
        options: Options | None = None,
        *,
        device: str = "auto",
        precision: str = "auto",
        batch: int = 16,
        trust: bool = False,
        allow_network: bool = False,
    ) -> None:
        from ftpcli.pose.estimator import Estimator

        self.options = options or Options()
        self.allow_network = allow_network
        self.estimator = Estimator.load(
            self.options.weights,
            device=device,
            precision=precision,
            batch=batch,
            flip_test=self.options.flip_test,
        )
        self.detector: Detector | None = None
        if self.options.boxes is None:
            from ftpcli.people import load_detector

            self.detector = load_detector(
                None if self.options.detector == "default" else self.options.detector,
                device=self.estimator.device,
                precision=self.estimator.precision,
                image_size=self.options.detector_size,
                trust=trust,
            )
        elif not Path(self.options.boxes).is_file():
            raise InputError(f"{self.options.boxes}: no such boxes file")

    def open(self, source: str, *, stored: Iterable[Stored] = ()) -> Annotation:
        """Open a video, a folder of pictures, or ``-`` for standard input.

        Raises:
            InputError: it cannot be read, or the boxes file does not fit it.
        """
        from ftpcli.video import open_source

        o = self.options
        frames = open_source(
            source,
            fps=o.fps,
            rotate=o.rotate,
            start=o.start,
            end=o.end,
            every=o.every,
            allow_network=self.allow_network,
        )
        frames.__enter__()
        try:
            people = self._people(frames.info)
        except BaseException:
            frames.close()
            raise
        recorded = {k: str(v) if k == "fps" else v for k, v in dataclasses.asdict(o).items() if v is not None}
        for name in ("weights", "detector", "boxes"):  # where files lie is the machine's business
            if name in recorded:
                recorded[name] = Path(recorded[name]).name
        return Annotation(
            frames,
            people,
            self.estimator,
            gaps=FillGaps(o.fill_gaps, held_frames(frames.info)) if o.fill_gaps and o.boxes is None else None,
            views=HoldViews(o.hold_views) if o.hold_views else None,
            second_look=SecondLook(self.estimator.estimate) if o.second_look and o.boxes is None else None,
            smoother=o.smoother(),
            stored=stored,
            options=recorded,
            to_the_end=o.end is None,
        )

    def _people(self, info: VideoInfo) -> PeopleSource:
        if self.detector is None:
            return BoxesFile(self.options.boxes or "", info)
        rate = float(info.average_rate) / self.options.every if info.average_rate else None
        return DetectAndTrack(self.detector, self.options.tracker, rate, self.options.min_score)


def annotate(
    source: str,
    *,
    device: str = "auto",
    precision: str = "auto",
    batch: int = 16,
    trust: bool = False,
    allow_network: bool = False,
    **options: Any,
) -> Annotation:
    """Annotate one video: iterate over the result to get a :class:`FramePoses` per decoded frame.

    >>> with annotate("clip.mp4", smooth="one-euro") as annotation:  # doctest: +SKIP
    ...     for frame in annotation:
    ...         print(frame.seconds, [pose.track_id for pose in frame.poses])

    Args:
        source: a video file, a folder of numbered pictures, or ``-``.
        options: fields of :class:`Options`.

    Raises:
        FtpError: see :class:`Annotator`.
    """
    chosen = Options(**options)
    annotator = Annotator(
        chosen, device=device, precision=precision, batch=batch, trust=trust, allow_network=allow_network
    )
    return annotator.open(str(source))


def _windows(chunk: list[tuple[TrackedFrame, tuple[Window, ...]]]) -> list[Window]:
    return [window for _, windows in chunk for window in windows]


def _file_name(path: str) -> str:
    """Without folders, which are the machine's business; ``.`` and ``..`` by the name of the folder they mean."""
    name = path.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return Path(path).resolve().name if name in ("", ".", "..") else name
