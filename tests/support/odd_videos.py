"""Makes small videos of every odd kind that users have, with PyAV.

Each frame shows its number as a bar code in the upper half and mid-grey in the lower half, so that a test sees
which frame it got, and whether it stands upright. ``ODD_VIDEOS`` maps a name to a maker.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition

TICK = Fraction(1, 12800)
FRAME = 512  # ticks of one frame at 25 per second
_BITS = 6


@dataclass(frozen=True)
class Odd:
    """An odd video and what a reader must find in it."""

    path: Path
    seconds: list[float]
    size: tuple[int, int] = (96, 64)  # upright
    rotation: int = 0
    mirrored: bool = False
    audio: str | None = None
    aspect: Fraction = Fraction(1)
    warning: str = ""  # a part of the one that must be given; "" for none at all
    colour: bool = True
    marks: list[int] = field(default_factory=list)

    @property
    def frames(self) -> int:
        return len(self.seconds)


def picture(number: int, width: int = 96, height: int = 64) -> np.ndarray:
    """(height, width, 3) uint8: white, six bits of the number, black; below, grey."""
    image = np.full((height, width, 3), 128, dtype=np.uint8)
    bits = [1, *(number >> bit & 1 for bit in reversed(range(_BITS))), 0]
    edges = np.linspace(0, width, len(bits) + 1).round().astype(int)
    for bit, left, right in zip(bits, edges, edges[1:], strict=False):
        image[: height // 2, left:right] = 235 * bit + 10
    return image


def read_mark(image: np.ndarray, *, drawn_on: bool = False) -> int | None:
    """The number shown by an upright picture, None where there is none. ``drawn_on``: the lower half is free."""
    height, width = image.shape[:2]
    grey = image.mean(axis=2)
    edges = np.linspace(0, width, _BITS + 3)
    middles = ((edges[:-1] + edges[1:]) / 2).astype(int)
    values = np.array([grey[height // 4, max(0, x - 1) : x + 1].mean() for x in middles])
    below = grey[height * 3 // 4, middles]
    bits = (values > 128).astype(int)
    if np.abs(values - 128).min() < 40 or bits[0] != 1 or bits[-1] != 0:
        return None
    if np.abs(below - 128).max() > 40 and not drawn_on:
        return None
    return int("".join(map(str, bits[1:-1])), 2)


def make(name: str, folder: Path) -> Odd:
    """The odd video of this name. Skips the test where this build of PyAV has no encoder for it."""
    if not has_encoder(NEEDS[name]):
        pytest.skip(f"this build of PyAV cannot encode {NEEDS[name]}")
    return ODD_VIDEOS[name](folder)


def seconds_of(pts: Iterable[int], time_base: Fraction = TICK) -> list[float]:
    return [float(value * time_base) for value in pts]


def even(count: int, first: int = 0) -> list[int]:
    """pts of a constant 25 frames per second."""
    return [first + index * FRAME for index in range(count)]


def encode(
    path: Path,
    pts: Sequence[int] | None = None,
    *,
    count: int = 12,
    size: tuple[int, int] = (96, 64),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    time_base: Fraction = TICK,
    rate: int = 25,
    container: str | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    rotation: int = 0,
    mirrored: bool = False,
    audio: str | None = None,
    audio_start: float = 0.0,
    before_video: Callable[[av.container.OutputContainer], Any] | None = None,
    before_header: Callable[[av.container.OutputContainer], Any] | None = None,
    after: Callable[[av.container.OutputContainer, Any], None] | None = None,
    repack: Callable[[av.Packet, int], None] | None = None,
    tune: Callable[[Any], None] | None = None,
) -> Path:
    """One marked frame per pts. ``size`` is the stored size; the marks stand upright after the rotation."""
    pts = even(count) if pts is None else pts
    settings = {"crf": "12", "preset": "ultrafast"} if codec.startswith("libx26") else {}
    if codec == "libx265":
        settings["x265-params"] = "log-level=none"
    with av.open(str(path), "w", format=container, container_options=container_options or {}) as output:
        extra = before_video(output) if before_video else None
        stream: Any = output.add_stream(codec, rate=rate, options={**settings, **(options or {})})
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = time_base
        if codec in ("mpeg4", "mjpeg", "mpeg2video"):
            stream.bit_rate = 4_000_000
        if rotation or mirrored:
            stream.set_display_rotation(rotation, hflip=mirrored)
        if tune is not None:
            tune(stream)
        sound = add_audio(output, audio) if audio else None
        extra = before_header(output) if before_header else extra
        packets = []
        for number, value in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(stored(number, size, rotation, mirrored), format="rgb24")
            frame = frame.reformat(format=pix_fmt, dst_color_range=2 if pix_fmt.startswith("yuvj") else 0)
            frame.pts = value
            frame.time_base = time_base
            packets += stream.encode(frame)
        packets += stream.encode(None)
        if sound is not None:
            write_audio(output, sound, len(pts) / rate, audio_start)
        for number, packet in enumerate(packets):
            if repack is not None:
                repack(packet, number)
            output.mux(packet)
        if after is not None:
            after(output, extra)
    return path


def stored(number: int, size: tuple[int, int], rotation: int, mirrored: bool) -> np.ndarray:
    """The picture as a file with this rotation and mirroring holds it."""
    width, height = size[::-1] if rotation in (90, 270) else size
    image = picture(number, width, height)
    if mirrored:
        image = image[:, ::-1]
    return np.ascontiguousarray(np.rot90(image, -rotation // 90))


def add_audio(output: av.container.OutputContainer, codec: str) -> Any:
    stream: Any = output.add_stream(codec, rate=48000)
    stream.layout = "mono"
    stream.bit_rate = 64_000
    return stream


def write_audio(output: av.container.OutputContainer, stream: Any, length: float, start: float = 0.0) -> None:
    """A tone of this many seconds."""
    context = stream.codec_context
    context.open(strict=False)
    step = context.frame_size or 1024
    resampler = av.AudioResampler(format=context.format, layout=context.layout, rate=48000)
    for position in range(0, int(length * 48000), step):
        tone = np.sin(np.arange(position, position + step) * 2 * np.pi * 440 / 48000)
        frame = av.AudioFrame.from_ndarray((tone * 8000).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = 48000
        frame.pts = position + round(start * 48000)
        frame.time_base = Fraction(1, 48000)
        for converted in resampler.resample(frame):
            output.mux(stream.encode(converted))
    output.mux(stream.encode(None))


def audio_packets(path: Path) -> list[tuple[bytes, float]]:
    """Bytes and time of each packet of the first audio stream."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return []
        return [
            (bytes(packet), float(packet.pts * packet.time_base))
            for packet in container.demux(container.streams.audio[0])
            if packet.size
        ]


def has_encoder(codec: str) -> bool:
    try:
        av.codec.Codec(codec, "w")
    except (av.error.FFmpegError, ValueError):
        return False
    return True


Maker = Callable[[Path], Odd]
ODD_VIDEOS: dict[str, Maker] = {}
NEEDS: dict[str, str] = {}


def _odd(codec: str = "libx264") -> Callable[[Maker], Maker]:
    def register(maker: Maker) -> Maker:
        ODD_VIDEOS[maker.__name__] = maker
        NEEDS[maker.__name__] = codec
        return maker

    return register


@_odd()
def variable_rate_with_gap(folder: Path) -> Odd:
    pts = [0, 400, 1500, 1777, 3000, 3000 + 2 * 12800, 29001, 29500, 31000, 31512]
    return Odd(encode(folder / "vfr.mp4", pts), seconds_of(pts))


@_odd("mjpeg")
def repeated_times(folder: Path) -> Odd:
    """Matroska keeps equal times: frames 3 and 4, 7 to 9."""
    milliseconds = [0, 40, 80, 120, 120, 200, 240, 280, 280, 280, 400]

    def repack(packet: av.Packet, number: int) -> None:
        packet.time_base = Fraction(1, 1000)
        packet.pts = packet.dts = milliseconds[number]

    path = encode(folder / "repeated.mkv", count=11, codec="mjpeg", pix_fmt="yuvj420p", repack=repack)
    given = [0, 40, 80, 120, 121, 200, 240, 280, 281, 282, 400]
    return Odd(path, seconds_of(given, Fraction(1, 1000)), warning="3 frames not later than the one before")


@_odd()
def starts_at_ten_seconds(folder: Path) -> Odd:
    pts = even(12, first=128000)
    return Odd(encode(folder / "late.mkv", pts, audio="aac", audio_start=10.0), seconds_of(pts), audio="aac")


@_odd()
def transport_stream(folder: Path) -> Odd:
    return Odd(encode(folder / "camera.ts", audio="aac"), [], audio="aac")


def _turned(rotation: int, mirrored: bool) -> Maker:
    def maker(folder: Path) -> Odd:
        path = encode(folder / "turned.mp4", rotation=rotation, mirrored=mirrored)
        size = (64, 96) if rotation in (90, 270) else (96, 64)
        return Odd(path, seconds_of(even(12)), size=size, rotation=rotation, mirrored=mirrored)

    maker.__name__ = f"rotated_{rotation}" + ("_mirrored" if mirrored else "")
    return maker


for _rotation, _mirrored in [(90, False), (180, False), (270, False), (0, True), (90, True), (180, True), (270, True)]:
    _odd()(_turned(_rotation, _mirrored))


@_odd("ffv1")
def odd_size(folder: Path) -> Odd:
    path = encode(folder / "odd.mkv", size=(101, 67), codec="ffv1")
    return Odd(path, seconds_of(even(12)), size=(101, 67))


@_odd()
def odd_size_turned(folder: Path) -> Odd:
    path = encode(folder / "odd.mp4", size=(101, 67), pix_fmt="yuv444p", rotation=270)
    return Odd(path, seconds_of(even(12)), size=(67, 101), rotation=270)


def _anamorphic(stream: Any) -> None:
    stream.codec_context.sample_aspect_ratio = Fraction(4, 3)


@_odd()
def non_square_pixels(folder: Path) -> Odd:
    return Odd(encode(folder / "dv.mp4", tune=_anamorphic), seconds_of(even(12)), aspect=Fraction(4, 3))


@_odd("libx265")
def hevc_ten_bit(folder: Path) -> Odd:
    return Odd(encode(folder / "ten.mp4", codec="libx265", pix_fmt="yuv420p10le"), seconds_of(even(12)))


def _hdr(transfer: int) -> Callable[[Any], None]:
    def tune(stream: Any) -> None:
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace = transfer, 9, 9

    return tune


@_odd("libx265")
def hdr_pq(folder: Path) -> Odd:
    path = encode(folder / "pq.mkv", codec="libx265", pix_fmt="yuv420p10le", tune=_hdr(16))
    return Odd(path, seconds_of(even(12)), warning="HDR (PQ)")


@_odd()
def hdr_hlg(folder: Path) -> Odd:
    return Odd(encode(folder / "hlg.mp4", tune=_hdr(18)), seconds_of(even(12)), warning="HDR (HLG)")


@_odd("libvpx-vp9")
def vp9_webm(folder: Path) -> Odd:
    options = {"deadline": "realtime", "cpu-used": "8"}
    path = encode(folder / "clip.webm", codec="libvpx-vp9", options=options, audio="libopus")
    return Odd(path, seconds_of(even(12)), audio="opus")


@_odd("libvpx-vp9")
def vp9_mkv(folder: Path) -> Odd:
    options = {"deadline": "realtime", "cpu-used": "8"}
    return Odd(encode(folder / "clip.mkv", codec="libvpx-vp9", options=options), seconds_of(even(12)))


@contextmanager
def own_scheduling() -> Iterator[None]:
    """Afterwards this thread is scheduled as before.

    Started by root, SVT-AV1 makes the thread that calls it a real-time one: all other processes of the machine stand
    back for it and for every process that it starts from then on.
    """
    if not hasattr(os, "sched_setscheduler"):
        yield
        return
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


def _av1(path: Path) -> Odd:
    options = {"preset": "12", "crf": "20", "svtav1-params": "lp=1"}
    with own_scheduling():
        return Odd(encode(path, codec="libsvtav1", options=options), seconds_of(even(12)))


@_odd("libsvtav1")
def av1_webm(folder: Path) -> Odd:
    return _av1(folder / "av1.webm")


@_odd("libsvtav1")
def av1_mkv(folder: Path) -> Odd:
    return _av1(folder / "av1.mkv")


@_odd("mpeg4")
def mpeg4_avi_with_b_frames(folder: Path) -> Odd:
    def tune(stream: Any) -> None:
        stream.max_b_frames = 2

    path = encode(
        folder / "old.avi", range(12), codec="mpeg4", time_base=Fraction(1, 25), tune=tune, audio="libmp3lame"
    )
    return Odd(path, [], audio="mp3")  # an AVI has no times of its own; the test counts frames


@_odd("mjpeg")
def mjpeg_avi(folder: Path) -> Odd:
    path = encode(
        folder / "camera.avi",
        range(12),
        codec="mjpeg",
        pix_fmt="yuvj420p",
        time_base=Fraction(1, 25),
        audio="pcm_s16le",
    )
    return Odd(path, [index / 25 for index in range(12)], audio="pcm_s16le")


@_odd("gif")
def gif(folder: Path) -> Odd:
    centiseconds = [0, 4, 8, 20, 24, 28, 32, 100, 104, 108]
    path = encode(folder / "loop.gif", centiseconds, codec="gif", pix_fmt="rgb8", time_base=Fraction(1, 100))
    return Odd(path, seconds_of(centiseconds, Fraction(1, 100)))


@_odd("mpeg2video")
def interlaced(folder: Path) -> Odd:
    options = {"flags": "+ildct+ilme", "top": "1"}
    path = encode(
        folder / "tape.mpg", range(12), codec="mpeg2video", time_base=Fraction(1, 25), options=options, audio="mp2"
    )
    return Odd(path, [], audio="mp2", warning="interlaced")


@_odd("qtrle")
def alpha(folder: Path) -> Odd:
    return Odd(encode(folder / "alpha.mov", codec="qtrle", pix_fmt="argb"), seconds_of(even(12)))


@_odd("ffv1")
def alpha_yuva(folder: Path) -> Odd:
    return Odd(encode(folder / "alpha.mkv", codec="ffv1", pix_fmt="yuva420p"), seconds_of(even(12)))


@_odd()
def grey(folder: Path) -> Odd:
    return Odd(encode(folder / "grey.mp4", pix_fmt="gray"), seconds_of(even(12)), colour=False)


@_odd("ffv1")
def grey_sixteen_bit(folder: Path) -> Odd:
    return Odd(encode(folder / "grey.mkv", codec="ffv1", pix_fmt="gray16le"), seconds_of(even(12)), colour=False)


@_odd()
def full_range(folder: Path) -> Odd:
    return Odd(encode(folder / "full.mp4", pix_fmt="yuvj420p"), seconds_of(even(12)))


@_odd()
def aac_mp4(folder: Path) -> Odd:
    return Odd(encode(folder / "phone.mp4", audio="aac"), seconds_of(even(12)), audio="aac")


@_odd()
def flac_mkv(folder: Path) -> Odd:
    return Odd(encode(folder / "flac.mkv", audio="flac"), seconds_of(even(12)), audio="flac")


@_odd()
def ac3_mkv(folder: Path) -> Odd:
    return Odd(encode(folder / "dvd.mkv", audio="ac3"), seconds_of(even(12)), audio="ac3")


@_odd()
def sound_starts_later(folder: Path) -> Odd:
    return Odd(encode(folder / "later.mkv", audio="aac", audio_start=0.2), seconds_of(even(12)), audio="aac")


@_odd()
def two_video_streams(folder: Path) -> Odd:
    """A small preview first, the real picture second and marked as default."""

    def preview(output: av.container.OutputContainer) -> Any:
        stream: Any = output.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuvj420p"
        stream.disposition = 0
        return stream

    def after(output: av.container.OutputContainer, stream: Any) -> None:
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))

    def tune(stream: Any) -> None:
        stream.disposition = Disposition.default

    path = encode(folder / "two.mkv", before_video=preview, after=after, tune=tune)
    return Odd(path, seconds_of(even(12)))


def _cover(output: av.container.OutputContainer) -> Any:
    stream: Any = output.add_stream("mjpeg", rate=1)
    stream.width, stream.height, stream.pix_fmt = 640, 480, "yuvj420p"
    stream.disposition = Disposition.attached_pic
    return stream


def _write_cover(output: av.container.OutputContainer, stream: Any) -> None:
    frame = av.VideoFrame.from_ndarray(np.full((480, 640, 3), 200, np.uint8), format="rgb24")
    frame.pts, frame.time_base = 0, Fraction(1)
    output.mux(stream.encode(frame))


@_odd()
def cover_art(folder: Path) -> Odd:
    path = encode(folder / "cover.mp4", before_header=_cover, after=_write_cover, audio="aac")
    return Odd(path, seconds_of(even(12)), audio="aac")


@_odd()
def subtitles(folder: Path) -> Odd:
    def before(output: av.container.OutputContainer) -> Any:
        return output.add_mux_stream("subrip")

    def after(output: av.container.OutputContainer, stream: Any) -> None:
        packet = av.Packet(b"Hello")
        packet.stream = stream
        packet.time_base = Fraction(1, 1000)
        packet.pts = packet.dts = 100
        packet.duration = 200
        output.mux(packet)

    return Odd(encode(folder / "film.mkv", before_header=before, after=after), seconds_of(even(12)))


@_odd()
def size_changes(folder: Path) -> Odd:
    """Two H.264 streams of different sizes, one after the other, as some cameras and broadcasters write them."""
    parts = [
        encode(folder / f"part{index}.h264", count=6, size=size) for index, size in enumerate([(96, 64), (192, 128)])
    ]
    path = folder / "joined.h264"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return Odd(path, [], warning="scaled to the first", marks=[0, 1, 2, 3, 4, 5] * 2)


@_odd()
def clock_restarts(folder: Path) -> Odd:
    """Two recordings glued together: the second starts again at 0."""
    part = encode(folder / "part.ts", count=60)
    path = folder / "glued.ts"
    path.write_bytes(part.read_bytes() * 2)
    expected = [index / 25 for index in range(120)]
    return Odd(path, expected, warning="the clock is set anew 1 time", marks=[*range(60), *range(60)])


@_odd()
def clock_steps_back(folder: Path) -> Odd:
    """Two recordings glued together: the second begins 0.2 s before the first ends."""
    parts = [encode(folder / f"part{n}.ts", even(12, round(n * Fraction(28, 100) / TICK))) for n in range(2)]
    path = folder / "glued.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return Odd(path, [], warning="the clock is set anew 1 time", marks=[*range(12), *range(12)])


@_odd()
def no_times(folder: Path) -> Odd:
    """A bare H.264 stream has no clock."""
    path = encode(folder / "bare.h264")
    return Odd(path, [index / 25 for index in range(12)], warning="without a time")


@_odd()
def uhd(folder: Path) -> Odd:
    path = encode(folder / "uhd.mp4", count=2, size=(3840, 2160))
    return Odd(path, seconds_of(even(2)), size=(3840, 2160))


@_odd()
def tiny(folder: Path) -> Odd:
    return Odd(encode(folder / "tiny.mp4", size=(16, 16)), seconds_of(even(12)), size=(16, 16))


@_odd()
def one_frame(folder: Path) -> Odd:
    return Odd(encode(folder / "one.mp4", count=1), [0.0])


@_odd("png")
def one_image(folder: Path) -> Odd:
    path = folder / "photo.png"
    cv2.imwrite(str(path), picture(0)[:, :, ::-1])
    return Odd(path, [0.0])


@_odd()
def wrong_extension(folder: Path) -> Odd:
    return Odd(encode(folder / "clip.jpg", container="mp4"), seconds_of(even(12)))


@_odd()
def no_extension(folder: Path) -> Odd:
    return Odd(encode(folder / "clip", container="mov"), seconds_of(even(12)))


@_odd()
def tags_in_another_encoding(folder: Path) -> Odd:
    path = encode(folder / "tagged.mkv", before_header=lambda output: output.metadata.update(title="AAAAAAAA"))
    path.write_bytes(path.read_bytes().replace(b"AAAAAAAA", b"\xff\xfe\xe4\xf6\xfcAAA"))
    return Odd(path, seconds_of(even(12)))


def faststart(path: Path, count: int = 40, **options: Any) -> Path:
    """A file whose index stands in front, so that what is cut off its end takes no other frames with it."""
    return encode(path, count=count, container_options={"movflags": "+faststart"}, **options)


def zero_frames(path: Path) -> Path:
    """A whole MP4 with a video track in which nothing is."""
    return encode(path, [], before_header=lambda output: output.start_encoding())


def cover_only(path: Path) -> Path:
    """Sound with a cover picture, as music files have."""
    with av.open(str(path), "w", format="mp4") as output:
        sound = add_audio(output, "aac")
        cover = _cover(output)
        _write_cover(output, cover)
        write_audio(output, sound, 0.5)
    return path


def sound_only(path: Path) -> Path:
    with av.open(str(path), "w") as output:
        write_audio(output, add_audio(output, "aac"), 0.5)
    return path
