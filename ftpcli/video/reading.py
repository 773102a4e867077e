"""Reads frames one by one, with their exact times, from a file, a pipe or (where allowed) an address."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Protocol, Self

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from ftpcli.errors import InputError, counted
from ftpcli.files.inputs import STANDARD, can_reread, describe, first_bytes, local_path
from ftpcli.records import Frame, VideoInfo
from ftpcli.video.clock import Clock
from ftpcli.video.images import ImageFolderReader
from ftpcli.video.opening import (
    MAX_PIXELS,
    PATIENCE,
    another_follows,
    choose_stream,
    is_pipe,
    longest_gap,
    open_container,
    video_info,
)
from ftpcli.video.pictures import Orientation, ToRgb, hdr_kind
from ftpcli.video.selection import Selection, check_rotation

# Damage in the middle of a file is skipped; this many bad packets in a row (minutes of video) means that the
# rest is rubbish and only costs time.
_MAX_BAD_IN_A_ROW = 10_000
_MAX_FAILED_READS = 100


class Live(Protocol):
    """A source that goes on without waiting for whoever takes its frames."""

    arrivals: dict[int, float]  # see LiveReader

    @property
    def waiting(self) -> int: ...  # frames that can be taken at once


class FrameSource(Protocol):
    """What VideoReader, ImageFolderReader and LiveReader have in common."""

    info: VideoInfo

    @property
    def live(self) -> Live | None: ...  # itself; None for one that waits
    @property
    def frame_name(self) -> Callable[[int], str] | None: ...  # see ImageFolderReader; None where frames have no names
    @property
    def decoded(self) -> int: ...  # frames so far, selected or not
    @property
    def bad_packets(self) -> int: ...  # compressed pictures that could not be decoded
    @property
    def warnings(self) -> list[str]: ...  # one line each, complete after the last frame
    @property
    def expected(self) -> int | None: ...  # frames that will be given, as far as is known before they are read

    def __enter__(self) -> Self: ...
    def close(self) -> None: ...
    def __iter__(self) -> Iterator[Frame]: ...


class VideoReader:
    """Decodes a video as a stream of upright RGB frames; a context manager, iterated once.

    - ``Frame.index`` counts all decoded frames of the source, also with ``start`` and ``every``. For that, and
      for exact pictures, the source is always decoded from its first frame on, without seeking.
    - ``Frame.pts`` is the container's, made strictly increasing where it is not (see Clock).
    - Truncated or damaged files give what can be decoded; ``bad_packets`` counts the rest.
    - All frames have the size of the first one: where the picture size changes in mid-stream, later frames are
      scaled to it, so pixel coordinates stay comparable.
    - Pixels are as stored: non-square pixels are not stretched, interlaced lines not separated, alpha dropped.
    - Of several video streams FFmpeg's best is taken, never cover art.

    Args:
        path: a file of any name, or ``-`` for standard input, which is never sought.
        rotate: degrees counterclockwise (0, 90, 180, 270) in place of the rotation that the file asks for;
            mirroring stays as the file has it.
        start: seconds on the source's own clock; earlier frames are decoded but not given.
        end: seconds; the first frame at or after it ends the reading.
        every: give one frame of this many, beginning with the first selected one.
        duration: seconds from the first frame that is given to the end, in place of ``end``.
        allow_network: accept http, rtsp and other addresses.

    Raises:
        UsageError: an option that makes no sense, or an address without ``allow_network``.
        InputError: not a readable video, not one decodable frame, or no frame in the range.
    """

    info: VideoInfo
    expected: int | None
    live = frame_name = None

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        rotate: int | None = None,
        start: float | None = None,
        end: float | None = None,
        every: int = 1,
        duration: float | None = None,
        allow_network: bool = False,
    ) -> None:
        check_rotation(rotate)
        self._path = os.fspath(path)
        self._name = describe(self._path)
        self._rotate = rotate
        self._selection = Selection(self._name, start, end, every, duration)
        self._allow_network = allow_network
        self._container: InputContainer | None = None
        self._pictures: Iterator[av.VideoFrame] | None = None
        self.decoded = 0
        self.bad_packets = 0
        self.warnings: list[str] = []

    def __enter__(self) -> Self:
        self._container = open_container(self._path, allow_network=self._allow_network)
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Harmless to repeat."""
        self._pictures = None
        if self._container is not None:
            self._container.close()
            self._container = None

    def _open(self) -> None:
        assert self._container is not None
        stream = choose_stream(self._container, self._path)
        try:
            stream.codec_context.open(strict=False)
        except (av.error.FFmpegError, ValueError, MemoryError) as error:
            raise InputError(f"{self._name}: its {stream.codec_context.name} video cannot be decoded") from error
        self._stream = stream
        pictures = self._decode(self._container, stream)
        first = next(pictures, None)
        if first is None:
            why = f"; damaged, or larger than {MAX_PIXELS:,} pixels" if self.bad_packets else ""
            if not can_reread(self._path):
                why += "; an MP4 or MOV whose index is at its end cannot be read from a pipe: name the file"
            raise InputError(f"{self._name}: not one frame could be decoded{why}")
        orientation = Orientation.of(first, first_bytes(local_path(self._path)))
        info = video_info(self._path, self._container, stream, first, orientation)
        if not orientation.exact:
            self.warnings.append(f"asks for a rotation between quarter turns; turned by {orientation.rotation} degrees")
        if self._rotate is not None:
            orientation = Orientation(self._rotate, orientation.mirrored)
            info = self._turned(info, self._rotate)
        if first.interlaced_frame:
            self.warnings.append("is interlaced: each frame shows two moments; deinterlace it first for better results")
        if (kind := hdr_kind(first)) is not None:
            self.warnings.append(f"is HDR ({kind}): colours are converted without tone mapping and may look pale")
        self.info = info
        self._to_rgb = ToRgb(orientation, first.width, first.height)
        self._clock = Clock(info.time_base, info.average_rate, stream.start_time, longest_gap(self._container))
        self.expected = self._count(stream)
        self._size = first.width, first.height
        self._pictures = chain((first,), pictures)

    @staticmethod
    def _turned(info: VideoInfo, rotation: int) -> VideoInfo:
        swapped = (info.rotation - rotation) % 180 != 0
        return replace(
            info,
            rotation=rotation,
            width=info.height if swapped else info.width,
            height=info.width if swapped else info.height,
            sample_aspect_ratio=1 / info.sample_aspect_ratio if swapped else info.sample_aspect_ratio,
        )

    def _count(self, stream: VideoStream) -> int | None:
        """Frames that will be given: counted in an index that lists every frame (MP4, AVI), else by the mean rate.

        An index holds decoding times. They are counted as if they began with the first frame, which is exact at a
        constant rate and at most a few frames wrong where reordered frames have unequal durations.
        """
        info, index, tick = self.info, stream.index_entries, float(self.info.time_base)
        if info.frames and len(index) > 0.9 * info.frames:
            offset = info.start - index[0].timestamp * tick
            # Half a tick is added, since a sum of floats may lie just below the time that a frame has.
            return self._selection.count(len(index), lambda n: (index[n].timestamp + 0.5) * tick + offset)
        if not info.duration or not info.average_rate:
            return None
        frames = info.frames or round(info.duration * info.average_rate)
        step = info.duration / max(1, frames)
        return self._selection.count(frames, lambda n: info.start + (n + 0.01) * step)

    def __iter__(self) -> Iterator[Frame]:
        if self._pictures is None:
            raise RuntimeError("a VideoReader is iterated once, inside its with block")
        pictures, self._pictures = self._pictures, None
        resized = 0
        damaged = 0
        for picture, pts in self._clock.times(pictures):
            seconds = float(pts * self.info.time_base)
            if self._selection.is_over(seconds):
                break
            index = self.decoded
            self.decoded += 1
            resized += (picture.width, picture.height) != self._size
            damaged += bool(picture.is_corrupt)
            if self._selection.takes(index, seconds):
                yield Frame(index, pts, seconds, self._convert(picture))
        else:
            self._compare_with_claim()
        self._selection.check_not_empty()
        self.warnings += self._clock.warnings()
        lines = {
            f"{counted(resized, 'frame')} of another size, scaled to the first one's": resized,
            f"{counted(damaged, 'damaged frame')} shown as well as they decode": damaged,
            f"{counted(self.bad_packets, 'damaged packet')} skipped": self.bad_packets,
        }
        self.warnings += [line for line, count in lines.items() if count]

    def _convert(self, picture: av.VideoFrame) -> np.ndarray:
        try:
            return self._to_rgb(picture)
        except (av.error.FFmpegError, ValueError) as error:
            raise InputError(f"{self._name}: pictures of format {picture.format.name} cannot be converted") from error

    def _compare_with_claim(self) -> None:
        claimed = self.info.frames
        # Some writers count frames that show nothing (packed B-frames); a few too many are no damage.
        if claimed is not None and claimed - self.decoded > max(2, claimed // 100):
            self.warnings.append(f"claims {claimed} frames, of which {self.decoded} could be decoded")

    def _decode(self, container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
        """All frames in order of presentation, the decoder drained at the end."""
        bad_in_a_row = 0
        patience = math.inf if is_pipe(self._path) else PATIENCE
        since = time.monotonic()
        for packet in self._packets(container, stream):
            try:
                pictures = stream.decode(packet)
            except av.error.EOFError:
                break
            except (av.error.FFmpegError, ValueError, MemoryError):
                self.bad_packets += 1
                bad_in_a_row += 1
                if bad_in_a_row >= _MAX_BAD_IN_A_ROW:
                    self.warnings.append(f"{bad_in_a_row} damaged packets in a row; the rest was not read")
                    break
                pictures = []
            else:
                bad_in_a_row = 0
            if pictures:
                yield from pictures
                since = time.monotonic()  # time spent outside this loop is nobody's hang
            elif time.monotonic() - since > patience:
                raise self._stuck()
        try:
            yield from stream.decode(None)
        except (av.error.FFmpegError, ValueError, MemoryError):
            self.bad_packets += 1

    def _stuck(self) -> InputError:
        """Not a warning: a result that lacks the rest must not look whole."""
        where = f" after frame {self.decoded - 1}" if self.decoded else ""
        return InputError(
            f"{self._name}: no picture in {PATIENCE:g} s of decoding{where}; try again, convert it, "
            "or name the part before with --end"
        )

    def _packets(self, container: InputContainer, stream: VideoStream) -> Iterator[av.Packet]:
        """Compressed packets; unreadable places are passed over, empty packets left out (they end decoding)."""
        failures = end = 0
        while True:
            try:
                for packet in container.demux(stream):
                    if packet.size:
                        failures, end = 0, max(end, (packet.pos or 0) + packet.size)
                        yield packet
                if another_follows(container, self._path, end):
                    self.warnings.append("holds another recording behind the first one, which is not read; split it")
                return
            except (av.error.FFmpegError, ValueError, MemoryError) as error:
                failures += 1
                self.bad_packets += 1
                if isinstance(error, av.error.ExitError) and can_reread(self._path):
                    raise self._stuck() from error
                if failures >= _MAX_FAILED_READS or isinstance(error, OSError):
                    why = getattr(error, "strerror", None) or error.__class__.__name__
                    self.warnings.append(f"reading ended early ({why})")
                    return


def open_source(
    path: str | os.PathLike[str],
    *,
    fps: Fraction | None = None,
    rotate: int | None = None,
    start: float | None = None,
    end: float | None = None,
    every: int = 1,
    duration: float | None = None,
    allow_network: bool = False,
) -> VideoReader | ImageFolderReader:
    """The reader for a video, or for a folder of numbered images (only then is ``fps`` used)."""
    if os.fspath(path) != STANDARD and Path(path).is_dir():
        return ImageFolderReader(path, fps, rotate=rotate, start=start, end=end, every=every, duration=duration)
    return VideoReader(
        path, rotate=rotate, start=start, end=end, every=every, duration=duration, allow_network=allow_network
    )
