"""Writes H.264 (or HEVC) files that play in browsers, with the source's own times and its sound."""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import Self, cast

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from ftpcli.choices import Codec, Speed
from ftpcli.errors import OutputError, UsageError
from ftpcli.files.output import PendingFile, write_error
from ftpcli.records import VideoInfo
from ftpcli.video.audio import AudioCopy

_ENCODERS = {Codec.H264: "libx264", Codec.HEVC: "libx265"}
_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
_BT709 = 1  # H.273: primaries, transfer and matrix
_LIMITED = 1
# Ticks per second of an MP4's own clock: FFmpeg's 1,000 would round where tracks begin to milliseconds.
_MAX_TIMESCALE = 1_000_000_000
_LATEST_START = 60  # seconds

#: Pixels of frames up to which x264's ``fast`` takes a fraction of the networks' time; above, it takes half or more.
_SMALL = 500_000
#: In smaller pictures x264's macroblock tree depends on memory it never wrote: the file differs from run to run.
_MBTREE_SIDE = 256


def check_suffix(path: str | os.PathLike[str]) -> None:
    """Raises UsageError where the name of a video to write does not tell a known container."""
    if Path(path).suffix.lower() not in _FORMATS:
        raise UsageError(f"{os.fspath(path)}: videos are written as {', '.join(_FORMATS)}")


class VideoWriter:
    """Encodes RGB frames with given pts; a context manager.

    - Times are the source's own, in its time base, also where the rate varies. A pts that does not increase is
      moved to one tick after the last. Pictures and sound are shifted together so that the first frame is at 0
      where it is before 0, later than a minute (clocks of cameras and broadcasts), or the first of a part
      (``audio_start``): players would show nothing until then, or leave it out.
    - yuv420p, BT.709, index at the front of the file. An odd width or height is filled up by repeating the last
      column or row; pixel coordinates stay as they are.
    - Sound is copied without re-encoding where the container can hold it, else a warning says so.
    - The file appears under its name when it is whole: until then it stands beside it as ``.NAME.tmp``, locked
      against a second run, and is removed when an exception ends the block.

    Args:
        path: .mp4, .m4v, .mov or .mkv.
        width, height: of the frames, in pixels.
        time_base: seconds per pts tick.
        rate: frames per second where known; only a hint for the encoder.
        sample_aspect_ratio: width over height of a pixel, passed on to players.
        audio_from: the file whose sound to copy.
        audio_start: seconds on the source's clock where the part begins that is written: sound before it is left
            out, and times are counted from the first frame. See also ``end_audio_at``.
        codec: a value of Codec.
        crf: constant rate factor, 0 (best) to 51.
        preset: the encoder's speed, a value of Speed. None: fast for small frames, veryfast for those that take as
            long to encode by fast as the networks take.
        overwrite: replace an existing file.

    Raises:
        UsageError: an unknown suffix, codec or preset.
        OutputError: the file exists, or cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        width: int,
        height: int,
        time_base: Fraction,
        *,
        rate: Fraction | None = None,
        sample_aspect_ratio: Fraction = Fraction(1),
        audio_from: str | os.PathLike[str] | None = None,
        audio_start: Fraction | None = None,
        codec: str = "h264",
        crf: int = 20,
        preset: str | None = None,
        overwrite: bool = False,
        allow_network: bool = False,
    ) -> None:
        self.path = Path(path)
        check_suffix(self.path)
        if codec not in list(Codec):
            raise UsageError(f"codec {codec}: choose one of {', '.join(Codec)}")
        if preset is None:
            preset = Speed.FAST if width * height <= _SMALL else Speed.VERYFAST
        if preset not in list(Speed):
            raise UsageError(f"preset {preset}: choose one of {', '.join(Speed)}")
        if not 0 <= crf <= 51:
            raise UsageError(f"crf {crf}: must lie between 0 (best) and 51")
        if width < 1 or height < 1:
            raise ValueError(f"frames of {width}x{height} cannot be written")
        self._is_mp4 = self.path.suffix.lower() != ".mkv"
        self.width, self.height = width, height
        self.frames = 0
        self._time_base = time_base
        self._rate = rate
        self._aspect = sample_aspect_ratio
        self._audio_from = audio_from
        self._audio_start = audio_start
        self._audio_end: Fraction | None = None
        self._codec, self._crf, self._preset = Codec(codec), crf, Speed(preset)
        self._overwrite = overwrite
        self._allow_network = allow_network
        self._file: PendingFile | None = None
        self._container: av.container.OutputContainer | None = None
        self._audio: AudioCopy | None = None
        self._reformatter = VideoReformatter()
        self._shift = 0
        self._last_pts: int | None = None
        self._warnings: list[str] = []

    @classmethod
    def like(cls, path: str | os.PathLike[str], info: VideoInfo, *, audio: bool = True, **options: object) -> Self:
        """A writer for frames of this source: its size, time base, pixel shape and, by default, its sound."""
        if audio and info.has_audio:
            options.setdefault("audio_from", info.path)
        return cls(
            path,
            info.width,
            info.height,
            info.time_base,
            rate=info.average_rate,
            sample_aspect_ratio=info.sample_aspect_ratio,
            **options,  # type: ignore[arg-type]
        )

    @property
    def warnings(self) -> list[str]:
        """One line each, complete after the block."""
        return self._warnings + (self._audio.warnings if self._audio else [])

    @property
    def has_audio(self) -> bool:
        """Whether sound is being copied."""
        return self._audio is not None and self._audio.stream is not None

    def __enter__(self) -> Self:
        self._file = PendingFile(self.path, overwrite=self._overwrite)
        try:
            if self._audio_from is not None:
                self._audio = AudioCopy(self._audio_from, self._audio_start, allow_network=self._allow_network)
            try:
                self._open()
            except (av.error.FFmpegError, ValueError) as error:
                if not self.has_audio:
                    raise
                # Some codecs are refused only when the header is written.
                assert self._audio is not None
                self._audio.give_up(_text(error))
                self._discard_container()
                self._open()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self._abandon()
            raise _refused(self.path, error) from error
        except BaseException:
            self._abandon()
            raise
        return self

    def _open(self) -> None:
        assert self._file is not None
        self._container = av.open(
            "file:" + os.fspath(self._file.path),
            "w",
            format=_FORMATS[self.path.suffix.lower()],
            container_options=self._mp4_options() if self._is_mp4 else {},
        )
        stream = cast(VideoStream, self._container.add_stream(_ENCODERS[self._codec], rate=self._encoder_rate()))
        stream.width = self.width + self.width % 2
        stream.height = self.height + self.height % 2
        stream.pix_fmt = "yuv420p"
        stream.time_base = self._time_base
        context = stream.codec_context
        context.time_base = self._time_base
        context.sample_aspect_ratio = self._aspect
        context.color_primaries = context.color_trc = context.colorspace = _BT709
        context.color_range = _LIMITED
        # Threads that take a picture each go on while the next one is made; those within a picture end with it.
        # Their number is fixed, since the encoded bytes depend on it, and memory grows with it.
        context.thread_type, context.thread_count = "FRAME", 4
        context.options = {"crf": str(self._crf), "preset": self._preset.value}
        if self._codec == "h264" and min(self.width, self.height) < _MBTREE_SIDE:
            context.options = {**context.options, "x264-params": "mbtree=0"}
        if self._codec == "hevc":
            context.codec_tag = "hvc1"  # Safari plays no other
            context.options = {**context.options, "x265-params": "log-level=error"}
        self._stream = stream
        if self._audio is not None and not self._audio.warnings:
            self._audio.attach(self._container)
        self._container.start_encoding()

    @property
    def _timescale(self) -> int:
        """Ticks per second that FFmpeg chooses for the pictures' track of an MP4."""
        ticks = self._time_base.denominator
        while ticks < 10_000:
            ticks *= 2
        return ticks

    def _mp4_options(self) -> dict[str, str]:
        """Index in front; the clock in which tracks state where they begin, exact for pictures and sound."""
        ticks = lcm(self._timescale, self._audio.sample_rate if self._audio else 1)
        if ticks > _MAX_TIMESCALE:
            ticks = min(self._timescale, _MAX_TIMESCALE)
        return {"movflags": "+faststart", "movie_timescale": str(ticks)}

    def _encoder_rate(self) -> Fraction:
        """A rate that the encoder's 32-bit fields can hold."""
        rate = self._rate if self._rate and Fraction(1, 1000) <= self._rate <= 1000 else Fraction(25)
        return rate.limit_denominator(100_000)

    def end_audio_at(self, seconds: Fraction) -> None:
        """Leave out the sound from here on, on the source's clock, that has not been written with the pictures."""
        self._audio_end = seconds

    def write(self, image: np.ndarray, pts: int) -> None:
        """Add one frame.

        Args:
            image: (height, width, 3) uint8 RGB.
            pts: in time base ticks.

        Raises:
            OutputError: the disk is full, or the like.
        """
        if self._container is None:
            raise RuntimeError("a VideoWriter is written to inside its with block")
        if image.shape != (self.height, self.width, 3) or image.dtype != np.uint8:
            raise ValueError(f"expected ({self.height}, {self.width}, 3) uint8, got {image.shape} {image.dtype}")
        pts = self._placed(pts)
        if self.width % 2 or self.height % 2:
            border = cv2.copyMakeBorder(image, 0, self.height % 2, 0, self.width % 2, cv2.BORDER_REPLICATE)
            image = border.astype(np.uint8, copy=False)
        try:
            frame = self._reformatter.reformat(
                av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24"),
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
                interpolation=Interpolation.BILINEAR,
                threads=1,
            )
            frame.pts = pts
            frame.time_base = self._time_base
            self._mux(frame)
        except (av.error.FFmpegError, OSError, ValueError, OverflowError) as error:
            raise _refused(self.path, error) from error
        self.frames += 1

    def _placed(self, pts: int) -> int:
        """Where a frame goes in the output, in ticks."""
        last = self._last_pts
        if last is None:
            late = pts * self._time_base > _LATEST_START
            if late and self._audio_start is None:
                seconds = float(pts * self._time_base)
                self._warnings.append(f"starts at {seconds:g} s on its own clock; what is written starts at 0")
            if pts < 0 or late or self._audio_start is not None:
                self._shift = -pts
        pts += self._shift
        if last is not None:
            pts = max(pts, last + 1)
            gap = (pts - last) * self._time_base
            if self._is_mp4 and gap * self._timescale >= 1 << 31:
                hours = float(gap / 3600)
                raise OutputError(f"{self.path}: a gap of {hours:.0f} hours does not fit into MP4; write .mkv instead")
        self._last_pts = pts
        return pts

    def _mux(self, frame: av.VideoFrame | None) -> None:
        assert self._container is not None
        for packet in self._stream.encode(frame):
            # The sound goes first, so that the muxer never has to hold pictures back for it.
            if packet.dts is not None:
                self._mux_audio((packet.dts - self._shift) * self._time_base)
            self._container.mux(packet)

    def _mux_audio(self, until: Fraction | None) -> None:
        if self._audio is None or self._audio.stream is None:
            return
        assert self._container is not None
        for packet in self._audio.until(until, self._shift * self._time_base):
            try:
                self._container.mux(packet)
            except ValueError as error:  # the packet is refused; a full disk is an OSError
                self._audio.give_up(_text(error))
                return

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._abandon()
            return
        try:
            if self.frames:
                self._mux(None)
                self._mux_audio(self._audio_end)
            self._close_files()
        except (av.error.FFmpegError, OSError, ValueError) as failure:
            self._abandon()
            raise _refused(self.path, failure) from failure
        except BaseException:
            self._abandon()
            raise
        if not self.frames:
            self._abandon()
            raise OutputError(f"{self.path}: there was no frame to write")
        if self._file is not None:
            self._file.commit()

    def _close_files(self) -> None:
        container, self._container = self._container, None
        try:
            if self._audio is not None:
                self._audio.close()
        finally:
            if container is not None:
                container.close()

    def _discard_container(self) -> None:
        container, self._container = self._container, None
        # What is closed here is unfinished and about to be removed.
        with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
            if container is not None:
                container.close()

    def _abandon(self) -> None:
        if self._audio is not None:
            self._audio.close()
        self._discard_container()
        if self._file is not None:
            self._file.discard()


def _refused(path: Path, error: Exception) -> OutputError:
    if isinstance(error, OSError) and error.errno is not None:
        return write_error(path, error)
    return OutputError(f"{path}: cannot be written ({_text(error)})")


def _text(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
