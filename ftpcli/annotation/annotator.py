"""The loaded models, which annotate one source after the other."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Unpack

from ftpcli.annotation.chain import Annotation
from ftpcli.annotation.options import OptionFields, Options
from ftpcli.errors import UsageError
from ftpcli.files.content import content_of
from ftpcli.people.sources import BoxesFile, DetectAndTrack, check_boxes
from ftpcli.pose.smoothing import Smoothing
from ftpcli.pose.windows import chunk_frames
from ftpcli.records import VideoInfo

if TYPE_CHECKING:
    from ftpcli.people.loading import Detector
    from ftpcli.people.sources import PeopleSource
    from ftpcli.video import FrameSource


class Annotator:
    """The loaded models; opens one :class:`Annotation` per source.

    Args:
        engine: ``auto``, ``torch`` or ``onnx``, see :func:`ftpcli.device.choose_engine`.
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
        engine: str = "auto",
        device: str = "auto",
        precision: str = "auto",
        batch: int | None = None,
        trust: bool = False,
        allow_network: bool = False,
    ) -> None:
        from ftpcli.pose.estimator import Estimator

        self.options = options or Options()
        self.allow_network = allow_network
        self._reader: Callable[[str], FrameSource] | None = None
        if self.options.boxes is not None:
            check_boxes(self.options.boxes)
        self.estimator = Estimator.load(
            self.options.weights,
            engine=engine,
            device=device,
            precision=precision,
            batch=batch,
            flip_test=self.options.flip_test,
        )
        self.detector: Detector | None = None
        if self.options.boxes is None:
            from ftpcli.people.loading import load_detector

            self.detector = load_detector(
                None if self.options.detector == "default" else self.options.detector,
                engine=self.estimator.engine.name,
                device=self.estimator.device,
                precision="bf16" if self.estimator.precision == "bf16" else "fp32",
                image_size=self.options.detector_size,
                trust=trust,
            )

    def with_options(self, **changes: Unpack[OptionFields]) -> Annotator:
        """The same models with other times, or with ``boxes``."""
        other = copy.copy(self)
        other.options = self.options.of_source(**changes)
        if other.options.boxes is not None:
            check_boxes(other.options.boxes)
            other.detector = None
        return other

    def reading(self, reader: Callable[[str], FrameSource]) -> Annotator:
        """The same models; sources are opened by ``reader``."""
        other = copy.copy(self)
        other._reader = reader
        return other

    def open(self, source: str) -> Annotation:
        """Open a video, a folder of pictures, or ``-`` for standard input.

        Raises:
            InputError: it cannot be read, or the boxes file does not fit it.
        """
        from ftpcli.video import open_source
        from ftpcli.video.live import in_thread

        o = self.options
        times: dict[str, Any] = {"start": o.start, "end": o.end, "every": o.every, "duration": o.duration}
        frames: FrameSource = (
            self._reader(source)
            if self._reader
            else open_source(source, fps=o.fps, rotate=o.rotate, allow_network=self.allow_network, **times)
        )
        frames.__enter__()
        try:
            estimator, ahead = self.estimator, chunk_frames(frames.info, self.estimator.device)
            frames = in_thread(frames, source, estimator.device, ahead, estimator.look)
            return Annotation(frames, self._people(frames.info), self.estimator, o, content_of(source))
        except BaseException:
            frames.close()
            raise

    def _people(self, info: VideoInfo) -> PeopleSource:
        if self.detector is None:
            return BoxesFile(self.options.boxes or "", info, self.options.every)
        o = self.options
        rate = float(info.average_rate) / o.every / o.detect_every if info.average_rate else None
        return DetectAndTrack(self.detector, o.tracker, rate, o.min_score, o.appearance)


def annotate(
    source: str,
    *,
    engine: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    batch: int | None = None,
    trust: bool = False,
    allow_network: bool = False,
    **options: Unpack[OptionFields],
) -> Annotation:
    """Annotate one video: iterate over the result to get a :class:`FramePoses` per decoded frame.

    >>> with annotate("clip.mp4", smooth="one-euro") as annotation:  # doctest: +SKIP
    ...     for frame in annotation:
    ...         print(frame.seconds, [pose.track_id for pose in frame.poses])

    Args:
        source: a video file, a folder of numbered pictures, or ``-``.
        options: fields of :class:`Options`.

    Raises:
        FtpError: see :class:`Annotator`; also in a process that was forked after torch had run in its parent
            (``ftpcli.device.check_fork``): use the start method ``spawn``.
    """
    chosen = Options(**options)
    if Smoothing(chosen.smooth).whole_tracks:
        raise UsageError(f"smooth={chosen.smooth}: looks ahead; filter a file (ftpcli.pose.filters.Filter)")
    chosen.check_streamed("frames as they come; see ftpcli.people.selection.Chosen")
    annotator = Annotator(
        chosen, engine=engine, device=device, precision=precision, batch=batch, trust=trust, allow_network=allow_network
    )
    return annotator.open(str(source))
