"""Opens a container, chooses its video stream and reads what the container says of itself."""

from __future__ import annotations

import os
import stat
import sys
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from ftpcli.errors import InputError, UsageError
from ftpcli.files.inputs import (
    STANDARD,
    camera,
    can_reread,
    describe,
    first_bytes,
    is_network_address,
    local_path,
    missing,
    network_refusal,
    refuse_pointer,
)
from ftpcli.records import VideoInfo
from ftpcli.video.pictures import Orientation, sample_aspect_ratio

#: Larger pictures are refused before memory is asked for (8K is 33 million).
MAX_PIXELS = 100_000_000

_NETWORK_PROTOCOLS = "http,https,httpproxy,tcp,tls,udp,rtp,srtp,rtsp,rtmp,rtmps,srt,crypto,data"
#: Seconds without any progress after which a file or address is given up. Pipes may pause for as long as they like.
PATIENCE = 30.0


def fraction(value: Any) -> Fraction | None:
    """PyAV's rational as a Fraction, None where unset: PyAV 18 gives Fraction or None, 19 a falsy 0/1."""
    return Fraction(value.numerator, value.denominator) if value else None


def is_pipe(path: str) -> bool:
    """Whether the input is standard input or a named pipe, and so cannot be read a second time."""
    try:
        return path == STANDARD or stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def open_container(path: str | os.PathLike[str], *, allow_network: bool = False) -> InputContainer:
    """Open for reading: a file, a named pipe, a camera, ``-`` for standard input, or an address if those are allowed.

    Only that file is read: a playlist in it may name other local files, never an address.

    Raises:
        UsageError: an address without ``allow_network``.
        InputError: missing, unreadable, empty, or not a video.
    """
    name = os.fspath(path)
    options = {"max_pixels": str(MAX_PIXELS), "pattern_type": "none"}
    keywords: dict[str, Any] = {}
    if int(av.__version__.split(".")[0]) < 19:
        keywords["metadata_errors"] = "replace"  # tags in another encoding must not stop the reading
    if is_network_address(name):
        if not allow_network:
            raise network_refusal(name)
        options["protocol_whitelist"] = _NETWORK_PROTOCOLS
        keywords["timeout"] = PATIENCE
        target = name
    elif device := camera(name):
        target, keywords["format"] = _camera_input(device)
    elif name == STANDARD:
        if sys.stdin is not None and sys.stdin.isatty():
            raise UsageError("standard input is a terminal; pipe a video into it or name a file")
        options["protocol_whitelist"] = "pipe"
        target = "pipe:0"
    else:
        local = local_path(name)
        _check_file(local, name)
        if not is_pipe(local):
            keywords["timeout"] = PATIENCE  # a damaged file can send a demuxer round in circles
        options["protocol_whitelist"] = "file,crypto,data"
        target = "file:" + local  # the prefix keeps names such as "12:30.mp4" from being read as protocols
    try:
        return av.open(target, "r", options=options, **keywords)
    except av.error.FFmpegError as error:
        raise InputError(f"{describe(name)}: {_reason(error, name)}") from error
    except (OSError, ValueError, MemoryError) as error:
        raise InputError(f"{describe(name)}: cannot be read ({error})") from error


def _camera_input(device: str) -> tuple[str, str]:
    """What FFmpeg calls a camera, and the form that it gives pictures in."""
    if sys.platform == "win32":
        raise UsageError(
            f"{device}: cameras are not read on Windows; let another program send it as RTSP, or record it"
        )
    form = "avfoundation" if sys.platform == "darwin" else "v4l2"
    if form not in av.formats_available and not any(form in one.split(",") for one in av.formats_available):
        raise UsageError(f"{device}: this build of PyAV reads no cameras; record to a file first")
    return device, form


def _check_file(local: str, name: str) -> None:
    try:
        mode = os.stat(local).st_mode
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError):
            raise missing(name) from error
        raise InputError(
            f"{name}: cannot be read ({error.strerror if isinstance(error, OSError) else error})"
        ) from error
    if stat.S_ISDIR(mode):
        raise InputError(f"{name}: is a folder, not a video")
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise InputError(f"{name}: is a device, but no camera; name a file")
    if stat.S_ISREG(mode) and os.path.getsize(local) == 0:
        raise InputError(f"{name}: the file is empty")
    if not os.access(local, os.R_OK):
        raise InputError(f"{name}: no permission to read it")
    refuse_pointer(local)


def _reason(error: av.error.FFmpegError, name: str) -> str:
    if isinstance(error, av.error.ExitError):
        return f"nothing of it could be read in {PATIENCE:g} s; try again, or convert it"
    if not isinstance(error, av.error.InvalidDataError):
        return f"cannot be read ({error.strerror})"
    if name == STANDARD:
        return "not a video that can be read from a pipe; save it to a file and name that"
    if first_bytes(local_path(name))[4:8] == b"ftyp":
        return "is cut off or damaged: its index (moov) is missing, so nothing of it can be decoded"
    return "not a video, or damaged beyond reading"


def choose_stream(container: InputContainer, name: str) -> VideoStream:
    """The video stream that players show: FFmpeg's best one, never attached cover art or thumbnails.

    Raises:
        InputError: no video, no decoder for it, or pictures of an absurd size.
    """
    pictures = Disposition.attached_pic | Disposition.timed_thumbnails
    streams = [stream for stream in container.streams.video if not stream.disposition & pictures]
    if not streams:
        what = "only cover art" if container.streams.video else "only sound" if container.streams.audio else "no video"
        raise InputError(f"{describe(name)}: has {what} in it, no moving picture")
    best = container.streams.best("video")
    chosen = {stream.index: stream for stream in streams}.get(best.index if best else -1)
    if chosen is None:
        chosen = next((stream for stream in streams if stream.disposition & Disposition.default), streams[0])
    if chosen.codec_context is None:
        raise InputError(f"{describe(name)}: its video codec has no decoder here; convert it to H.264 first")
    width, height = chosen.codec_context.width, chosen.codec_context.height
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{describe(name)}: claims pictures of {width}x{height}, refused (limit {MAX_PIXELS:,} pixels)"
        )
    # Frame threads would lose the frames behind a damaged last packet and conceal damage differently from
    # run to run; threads within a frame do neither.
    chosen.thread_type = "SLICE"
    chosen.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return chosen


def video_info(
    name: str, container: InputContainer, stream: VideoStream, first: av.VideoFrame, orientation: Orientation
) -> VideoInfo:
    """What the container and its first decoded frame say, before any override."""
    time_base = fraction(stream.time_base) or Fraction(1, 90_000)
    width, height = first.width, first.height
    aspect = fraction(stream.sample_aspect_ratio) or Fraction(1)
    if orientation.swaps_sides:
        width, height = height, width
    duration: float | None = None
    if stream.duration is not None:
        duration = float(stream.duration * time_base)
    elif container.duration is not None:
        duration = container.duration / av.time_base
    start = first.pts if first.pts is not None else stream.start_time
    return VideoInfo(
        path=name,
        width=width,
        height=height,
        rotation=orientation.rotation,
        time_base=time_base,
        average_rate=fraction(stream.average_rate) or fraction(stream.guessed_rate),
        frames=stream.frames or None,
        duration=duration,
        start=float(start * time_base) if start is not None else 0.0,
        codec=stream.codec_context.name,
        has_audio=bool(container.streams.audio),
        mirrored=orientation.mirrored,
        sample_aspect_ratio=sample_aspect_ratio(aspect, orientation),
    )


def packet_times(name: str) -> tuple[float, list[float]]:
    """Where players put 0 and the rising times of a file's frames, in seconds, told by its packets: none is decoded.

    Raises:
        InputError: see ``open_container``.
    """
    with open_container(name) as container:
        stream = choose_stream(container, name)
        tick = float(fraction(stream.time_base) or 0)
        packets = container.demux(stream)
        times = sorted(p.pts * tick for p in packets if p.size and p.pts is not None and not p.is_discard)
        start = times[0] if times else 0.0
        return start if container.start_time is None else container.start_time / av.time_base, times


def another_follows(container: InputContainer, name: str, end: int) -> bool:
    """Whether behind ``end``, the last byte that was demuxed, the file begins anew with a recording that FFmpeg does
    not see: of FLV and MP4 files that were written one behind the other it reads the first."""
    if not {"flv", "mp4"} & set(container.format.name.split(",")) or not can_reread(local_path(name)):
        return False
    with open(local_path(name), "rb") as file:
        head = file.read(8)
        file.seek(max(end, len(head)))
        return head in file.read(1 << 22)


def longest_gap(container: InputContainer) -> Fraction | None:
    """Seconds between two frames beyond which the container's clock was set back, None where it says nothing.

    MPEG streams count 33 bits at 90 kHz. FFmpeg takes a clock that was set back for one that overflowed, and adds
    2^33 ticks to all later times.
    """
    return Fraction(1 << 32, 90_000) if container.format.name in ("mpegts", "mpeg") else None
