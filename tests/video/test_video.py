"""Reading and writing of videos: every frame, its exact time, upright, whatever the file."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from ftpcli.errors import FtpError, InputError, OutputError, UsageError
from ftpcli.video import VideoReader, VideoWriter, open_source
from ftpcli.video.clock import Clock
from tests.support import odd_videos
from tests.support.odd_videos import FRAME, ODD_VIDEOS, TICK, audio_packets, encode, even, picture, read_mark

ROOT = Path(__file__).resolve().parent.parent.parent


def read(path, **options):
    with open_source(path, **options) as reader:
        frames = list(reader)
    return reader, frames


def marks(frames) -> list[int | None]:
    return [read_mark(frame.image) for frame in frames]


@pytest.mark.parametrize("name", ODD_VIDEOS)
def test_odd_video(name, odd_video):
    odd = odd_video(name)
    reader, frames = read(odd.path)
    info = reader.info
    expected = odd.marks or list(range(odd.frames or 12))
    assert marks(frames) == expected
    assert [frame.index for frame in frames] == list(range(len(expected)))
    assert reader.decoded == len(expected)
    assert reader.bad_packets == 0
    assert (info.width, info.height) == odd.size
    assert all(frame.image.shape == (odd.size[1], odd.size[0], 3) for frame in frames)
    assert (info.rotation, info.mirrored) == (odd.rotation, odd.mirrored)
    assert info.has_audio == (odd.audio is not None)
    assert info.sample_aspect_ratio == odd.aspect
    assert all(frame.seconds == float(frame.pts * info.time_base) for frame in frames)
    assert all(a.pts < b.pts for a, b in pairwise(frames))
    if odd.seconds:
        assert [frame.seconds for frame in frames] == pytest.approx(odd.seconds, abs=2e-5)
    else:  # a container with its own idea of where time begins: the steps must be right
        assert np.diff([frame.seconds for frame in frames]) == pytest.approx(1 / 25, abs=2e-5)
        assert info.start == pytest.approx(frames[0].seconds)
    assert bool(reader.warnings) == bool(odd.warning), reader.warnings
    assert not odd.warning or any(odd.warning in line for line in reader.warnings)


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="priorities of Linux")
def test_an_encoder_leaves_the_tests_an_ordinary_process(tmp_path):
    """A real-time one would take the processors from all that run beside it."""
    before = os.sched_getscheduler(0)
    odd_videos.make("av1_mkv", tmp_path)
    assert os.sched_getscheduler(0) == before


def test_pts_are_the_packets_own(odd_video):
    """Not recomputed from a rate: equal to what the container stores."""
    for name in ("variable_rate_with_gap", "transport_stream", "vp9_webm", "gif"):
        odd = odd_video(name)
        with av.open(str(odd.path)) as container:
            stored = sorted(packet.pts for packet in container.demux(video=0) if packet.size)
        assert [frame.pts for frame in read(odd.path)[1]] == stored


def test_real_clips(shared):
    expected = {
        "squats.mp4": (65, 12.8, (720, 1280)),
        "two_people_portrait_60fps.mp4": (100, 1.65, (1088, 1920)),
        "one_by_one.mp4": (1394, 139.3, (768, 432)),
        "dancer_with_sound.avi": (1571, 62.84, (518, 496)),
    }
    for name, (count, last, size) in expected.items():
        with VideoReader(shared / "videos" / name, every=40) as reader:
            frames = list(reader)
        # Every frame is decoded, one of 40 is converted: the last of those lies less than 40 before the end.
        assert reader.decoded == count
        assert reader.bad_packets == 0
        assert reader.warnings == []
        assert (reader.info.width, reader.info.height) == size
        assert [frame.index for frame in frames] == list(range(0, count, 40))
        with VideoReader(shared / "videos" / name, start=last) as reader:
            assert [(frame.index, frame.seconds) for frame in reader] == [(count - 1, last)]


# --- damage ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return odd_videos.faststart(tmp_path_factory.mktemp("whole") / "whole.mp4", 40)


@pytest.mark.parametrize("tenth", range(1, 11))
def test_truncated(tenth, whole, tmp_path):
    path = tmp_path / "cut.mp4"
    content = whole.read_bytes()
    path.write_bytes(content[: len(content) * tenth // 11])
    if tenth <= 5:  # not one whole frame is left, or not even the index
        with pytest.raises(InputError, match=r"cut\.mp4: (not one frame|is cut off|has no video)"):
            read(path)
        return
    reader, frames = read(path)
    assert marks(frames) == list(range(len(frames)))
    assert [frame.pts for frame in frames] == even(len(frames))
    assert 0 < len(frames) < 40
    assert reader.bad_packets == 1
    assert any(f"claims 40 frames, of which {len(frames)} could be decoded" in line for line in reader.warnings)


@pytest.mark.parametrize("container", ["mkv", "ts", "avi"])
def test_truncated_without_an_index(container, tmp_path):
    time_base = Fraction(1, 25)
    path = encode(tmp_path / f"cut.{container}", range(40), codec="mpeg4", time_base=time_base, options={"g": "8"})
    with av.open(str(path)) as container_file:
        positions = [packet.pos for packet in container_file.demux(video=0) if packet.size]
    path.write_bytes(path.read_bytes()[: positions[27] - 20])
    _, frames = read(path)
    assert 20 < len(frames) < 30
    # The very last one may be broken; all others are whole, and in their places.
    assert marks(frames)[:-1] == list(range(len(frames) - 1))


def test_zeroed_middle(tmp_path):
    path = odd_videos.faststart(tmp_path / "zeroed.mp4", 60, options={"g": "10", "bf": "0"})
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat")
    tenth = (len(content) - start) // 10
    content[start + 5 * tenth : start + 6 * tenth] = bytes(tenth)
    path.write_bytes(content)
    reader, frames = read(path)
    assert reader.bad_packets > 0
    assert 58 <= len(frames) + reader.bad_packets <= 60  # decoders pass over a picture or two without complaint
    assert any(f"claims 60 frames, of which {len(frames)}" in line for line in reader.warnings)
    # What lies before the damage and behind the next key frame is untouched, and so are the times.
    assert marks(frames)[:20] == list(range(20))
    assert marks(frames)[-15:] == list(range(45, 60))
    assert [frame.pts // FRAME for frame in frames[-15:]] == list(range(45, 60))


def test_drains_the_decoder(tmp_path):
    """The frames that a decoder holds back for reordering are not lost at the end."""
    path = encode(tmp_path / "deep.mp4", count=25, options={"bf": "8", "refs": "4", "x264-params": "b-pyramid=2"})
    assert marks(read(path)[1]) == list(range(25))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("zero_frames", "has no video|not one frame"),
        ("cover_only", "has only cover art"),
        ("sound_only", "has only sound"),
    ],
)
def test_nothing_to_see(name, message, tmp_path):
    path = getattr(odd_videos, name)(tmp_path / "clip.mp4")
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_not_a_video(tmp_path):
    cases = {
        "empty.mp4": (b"", "is empty"),
        "text.mp4": (b"hello " * 100, "not a video"),
        "noise.avi": (np.random.default_rng(0).bytes(20_000), "not a video"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=message):
            read(tmp_path / name)
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "missing.mp4")
    with pytest.raises(InputError, match="no such file"):
        read(f"{tmp_path}/video99")  # a webcam that is not there
    with pytest.raises(InputError, match="is a folder"), VideoReader(tmp_path):
        pass
    if os.path.exists("/dev/zero"):
        with pytest.raises(InputError, match="is a device"):
            read("/dev/zero")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path):
    path = encode(tmp_path / "secret.mp4", count=1)
    path.chmod(0)
    with pytest.raises(InputError, match="permission"):
        read(path)


def png_that_claims(width: int, height: int) -> bytes:
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_absurd_sizes_are_refused_before_memory_is_asked_for(tmp_path):
    path = tmp_path / "huge.png"
    path.write_bytes(png_that_claims(100_000, 100_000))
    with pytest.raises(InputError, match="larger than 100,000,000 pixels"):
        read(path)
    (tmp_path / "frames").mkdir()
    path.rename(tmp_path / "frames" / "1.png")
    with pytest.raises(InputError, match="none of its 1 images"):
        read(tmp_path / "frames")
    clip = encode(tmp_path / "huge.mp4", codec="mpeg4", time_base=Fraction(1, 25), pts=range(3))
    clip.write_bytes(clip.read_bytes().replace((96).to_bytes(2, "big") + (64).to_bytes(2, "big"), b"\xff\xff\xff\xff"))
    # The stream's own header is right; the container's claim is either corrected by it or refused.
    try:
        assert marks(read(clip)[1]) == [0, 1, 2]
    except InputError as error:
        assert "65535x65535" in str(error)


# --- names, pipes, addresses -----------------------------------------------------------------------------------


NAMES = [
    "two words.mp4",
    "ünï-人物 🏃.mp4",
    "-out.mp4",
    "12:30.mp4",
    "img%03d.mp4",
    "a'b\"c.mp4",
    "concat:x.mp4",
    "#1.mp4",
]


@pytest.mark.parametrize("name", NAMES)
def test_names(name, tmp_path, monkeypatch):
    source = encode(tmp_path / "plain.mp4", count=3)
    source.rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    reader, frames = read(name)
    assert marks(frames) == [0, 1, 2]
    assert reader.info.path == name


def test_symbolic_link_and_file_address(tmp_path):
    source = encode(tmp_path / "plain clip.mp4", count=3)
    link = tmp_path / "link.mp4"
    link.symlink_to(source)
    assert marks(read(link)[1]) == [0, 1, 2]
    assert marks(read(source.as_uri())[1]) == [0, 1, 2]


@pytest.mark.parametrize("address", ["http://example.org/a.mp4", "HTTPS://x/y", "rtsp://camera/1", "tcp://127.0.0.1:1"])
def test_addresses_are_refused(address):
    with pytest.raises(UsageError, match="network address"):
        read(address)


def test_addresses_where_allowed(tmp_path):
    import functools
    import http.server

    encode(tmp_path / "plain.mp4", count=3)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert marks(read(f"{address}/plain.mp4", allow_network=True)[1]) == [0, 1, 2]
        with pytest.raises(InputError, match="cannot be read"):
            read(f"{address}/missing.mp4", allow_network=True)
        # A playlist on the disk must not reach the network by itself.
        playlist = tmp_path / "list.m3u8"
        playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}/plain.mp4\n#EXT-X-ENDLIST\n")
        with pytest.raises(InputError):
            read(playlist)
        server.shutdown()


READ_STDIN = """
from ftpcli.video import VideoReader
from tests.support.odd_videos import read_mark
with VideoReader("-") as reader:
    print([read_mark(frame.image) for frame in reader], reader.info.path)
"""


@pytest.mark.parametrize("suffix", ["mkv", "ts", "mp4"])
def test_standard_input(suffix, tmp_path):
    """Through a pipe nothing can be sought: an MP4 works where its index stands in front."""
    options = {"movflags": "+faststart"} if suffix == "mp4" else {}
    path = encode(tmp_path / f"clip.{suffix}", count=5, container_options=options)
    with subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE) as pipe:
        run = subprocess.run(
            [sys.executable, "-c", READ_STDIN], stdin=pipe.stdout, capture_output=True, text=True, cwd=ROOT
        )
    assert run.stdout == "[0, 1, 2, 3, 4] -\n", run.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_named_pipe(tmp_path):
    source = encode(tmp_path / "clip.mkv", count=5)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    feeder = threading.Thread(target=lambda: pipe.write_bytes(source.read_bytes()), daemon=True)
    feeder.start()
    assert marks(read(pipe)[1]) == [0, 1, 2, 3, 4]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_whose_index_comes_last(tmp_path):
    """FFmpeg needs it first, and cannot go back."""
    content = encode(tmp_path / "clip.mov", count=60, codec="rawvideo", pix_fmt="rgb24").read_bytes()
    assert content.index(b"mdat") < content.index(b"moov")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError):
            pipe.write_bytes(content)

    threading.Thread(target=feed, daemon=True).start()
    with pytest.raises(InputError, match="cannot be read from a pipe: name the file"):
        read(pipe)


# --- selection, rotation ---------------------------------------------------------------------------------------


def test_start_end_every_keep_indices_and_times(odd_video):
    path = odd_video("aac_mp4").path
    reader, frames = read(path, start=0.12, end=0.4)
    assert [frame.index for frame in frames] == marks(frames) == [3, 4, 5, 6, 7, 8, 9]
    assert [frame.pts for frame in frames] == even(10)[3:]
    assert reader.decoded == 10  # up to the end of the range
    reader, frames = read(path, start=0.1, every=4)
    assert [frame.index for frame in frames] == marks(frames) == [3, 7, 11]
    assert reader.decoded == 12
    assert marks(read(path, start=0.04, duration=0.2)[1]) == [1, 2, 3, 4, 5], "0.04 + 0.2 is more than 0.24 in floats"
    late = odd_video("starts_at_ten_seconds").path
    assert marks(read(late, start=10.4)[1]) == [10, 11]  # seconds are the source's own clock


def test_ranges_without_frames(odd_video):
    path = odd_video("aac_mp4").path
    with pytest.raises(InputError, match=r"no frame from the start, 70 s, on; the last is at 0\.44 s"):
        read(path, start=70)
    with pytest.raises(InputError, match="no frame lies before the end, 5 s; the first is at 10 s"):
        read(odd_video("starts_at_ten_seconds").path, end=5)
    for options in ({"start": 2, "end": 1}, {"every": 0}, {"rotate": 45}, {"start": float("nan")}):
        with pytest.raises(UsageError):
            read(path, **options)


def test_rotation_override(odd_video):
    upright = read(odd_video("rotated_90").path)[1][5].image
    reader, frames = read(odd_video("rotated_90").path, rotate=0)
    assert (reader.info.width, reader.info.height, reader.info.rotation) == (96, 64, 0)
    assert np.array_equal(np.rot90(frames[5].image), upright)
    reader, frames = read(odd_video("aac_mp4").path, rotate=270)
    assert (reader.info.width, reader.info.height, reader.info.rotation) == (64, 96, 270)
    assert read_mark(np.rot90(frames[7].image)) == 7
    # Naming the file's own rotation changes nothing, mirroring stays.
    reader, frames = read(odd_video("rotated_270_mirrored").path, rotate=270)
    assert marks(frames) == list(range(12)) and reader.info.mirrored
    reader, _ = read(odd_video("non_square_pixels").path, rotate=90)
    assert reader.info.sample_aspect_ratio == Fraction(3, 4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation, tmp_path):
    import struct

    import cv2

    rotation, mirrored = {
        1: (0, False),
        2: (0, True),
        3: (180, False),
        4: (180, True),
        5: (270, True),
        6: (270, False),
        7: (90, True),
        8: (90, False),
    }[orientation]
    image = odd_videos.stored(5, (96, 64), rotation, mirrored)
    jpeg = cv2.imencode(".jpg", image)[1].tobytes()
    tag = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x112, 3, 1, orientation, 0, 0)
    jpeg = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(tag) + 2) + tag + jpeg[2:]
    (tmp_path / "photo.jpg").write_bytes(jpeg)
    for source in (tmp_path / "photo.jpg", tmp_path):
        reader, frames = read(source)
        assert marks(frames) == [5]
        assert (reader.info.rotation, reader.info.mirrored) == (rotation, mirrored)


# --- colour ----------------------------------------------------------------------------------------------------

MATRICES = {"bt601": (6, 0.299, 0.114), "bt709": (1, 0.2126, 0.0722), "bt2020": (9, 0.2627, 0.0593)}


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", [*MATRICES, "untagged-sd", "untagged-hd"])
def test_colour_matrix_and_range(matrix, full, tmp_path):
    """Known YCbCr, stored losslessly, against the definition of ITU-T H.273."""
    size = (1280, 720) if matrix == "untagged-hd" else (64, 48)
    tagged = matrix in MATRICES
    code, red, blue = MATRICES[{"untagged-sd": "bt601", "untagged-hd": "bt709"}.get(matrix, matrix)]
    colours = [(90, 170, 110), (120, 100, 180), (60, 128, 128), (170, 140, 90)]
    path = tmp_path / "colour.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"qp": "0", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.color_range = 2 if full else 1
        if tagged:
            stream.codec_context.colorspace = code
        for planes in colours:
            frame = av.VideoFrame(*size, "yuv420p")
            frame.color_range = 2 if full else 1
            for plane, value in zip(frame.planes, planes, strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    for (y, cb, cr), frame in zip(colours, read(path)[1], strict=True):
        luma, u, v = (y / 255, (cb - 128) / 255, (cr - 128) / 255)
        if not full:
            luma, u, v = (y - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
        r, b = luma + 2 * (1 - red) * v, luma + 2 * (1 - blue) * u
        g = (luma - red * r - blue * b) / (1 - red - blue)
        expected = np.clip(np.array([r, g, b]) * 255, 0, 255)
        assert np.abs(frame.image.reshape(-1, 3).mean(axis=0) - expected).max() < 3.5


# --- the clock -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Timed:
    pts: int | None
    duration: int | None = None


def clock_of(values, **options):
    """Times that a clock of 1 ms and 25 frames per second gives, and the clock."""
    clock = Clock(Fraction(1, 1000), Fraction(25), **options)
    items = [Timed(*value) if isinstance(value, tuple) else Timed(value) for value in values]
    given = list(clock.times(items))
    assert [item for item, _ in given] == items
    times = [pts for _, pts in given]
    assert all(a < b for a, b in pairwise(times))
    return times, clock


def test_clock_keeps_sound_times_and_guesses_missing_ones():
    assert clock_of([0, 40, 90])[0] == [0, 40, 90]
    assert clock_of([-80, -40, 0])[0] == [-80, -40, 0]
    times, clock = clock_of([None, None, None, 200])
    assert times == [0, 40, 80, 200] and clock.guessed == 3
    assert clock_of([(None, 33), (None, 50), (None, 0)], start=7)[0] == [7, 40, 90]
    assert clock_of([0, 60, None])[0] == [0, 60, 120]  # the step seen last
    assert clock_of([0, 1 << 62, 80])[0] == [0, 40, 80]


SINGLE = [  # only the times of single frames are wrong: those around them stay
    ([0, 40, 40, 40, 40, 80, 79, 120], [0, 40, 41, 42, 43, 80, 81, 120]),
    ([0, 40, 80, 120, 40, 160, 200], [0, 40, 80, 120, 121, 160, 200]),
    ([5000, 5040, 0, 5080, 5120], [5000, 5040, 5041, 5080, 5120]),
    # A decoder that did not reorder.
    ([(pts, 40) for pts in (0, 120, 40, 80, 160, 280, 200, 240)], [0, 120, 121, 122, 160, 280, 281, 282]),
    ([0, 40, 80, 5000, 120, 160], [0, 40, 80, 120, 121, 160]),
    ([0, 40, 80, 5000, 160, 200], [0, 40, 80, 120, 160, 200]),
]


@pytest.mark.parametrize(("values", "expected"), SINGLE, ids=str)
def test_clock_of_single_wrong_times(values, expected):
    times, clock = clock_of(values)
    assert times == expected and clock.restarts == 0 and len(clock.warnings()) in (1, 2)


def test_clock_that_is_set_anew():
    hours = 3_600_000
    first = list(range(5000, 6000, 40))
    for back in (40, 60, 80, 200, 640, 960, 2000, 4000, 5000, 90_000_000):
        second = [first[-1] - back + 40 * n for n in range(40)]
        times, clock = clock_of(first + second)
        assert times == list(range(5000, 5000 + 40 * 65, 40)) and clock.restarts == 1, back
        assert clock_of([(pts, 40) for pts in first + second])[0] == times
    assert clock_of([0, 40, 40 + 700 * hours])[0] == [0, 40, 40 + 700 * hours]  # a long gap is real
    times, clock = clock_of([0, 40, 10**12, 10**12 + 50, 160, 200])  # one of 30 years is not
    assert times == [0, 40, 80, 130, 180, 220] and clock.restarts == 2
    assert clock_of([0, 40, 5000, 5040, 120, 160, 200])[0] == [0, 40, 5000, 5040, 5080, 5120, 5160]
    assert len(clock.warnings()) == 1


def joined(path: Path, *starts: float, count: int = 12, audio: str | None = None) -> Path:
    """Recordings of ``count`` frames one after the other in a transport stream, each from its own time on."""
    parts = []
    for number, start in enumerate(starts):
        pts = even(count, round(start / TICK))
        parts.append(encode(path.with_name(f"{number}.ts"), pts, audio=audio, audio_start=start))
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.parametrize("second", [10.4, 10.38, 10.2, 10.0, 9.5, 3.0, 0.0, 200.0])
def test_joined_recordings_go_on(second, tmp_path):
    """0 s lies more than a minute before the first: FFmpeg takes that for an overflow, and adds 26 hours."""
    first = 100.0 if second == 0.0 else 10.0
    reader, frames = read(joined(tmp_path / "joined.ts", first, second))
    steps = np.diff([frame.seconds for frame in frames])
    assert len(frames) == 24 and marks(frames) == [*range(12), *range(12)]
    if second == 200.0:  # a recording that begins later leaves a gap
        assert steps[11] == pytest.approx(200 - 10 - 11 / 25, abs=1e-4) and reader.warnings == []
        steps = np.delete(steps, 11)
    else:
        assert any("set anew 1 time" in line for line in reader.warnings)
    assert steps == pytest.approx(1 / 25, abs=2e-5)


@pytest.mark.parametrize("suffix", ["flv", "mp4", "mov"])
def test_a_second_recording_that_ffmpeg_does_not_see_is_named(suffix, tmp_path):
    encode(tmp_path / f"one.{suffix}", [40 * n for n in range(12)], time_base=Fraction(1, 1000), audio="aac")
    part = (tmp_path / f"one.{suffix}").read_bytes()
    (tmp_path / f"two.{suffix}").write_bytes(part + part)
    assert read(tmp_path / f"one.{suffix}")[0].warnings == []
    reader, frames = read(tmp_path / f"two.{suffix}")
    assert len(frames) == 12 and [line for line in reader.warnings if "another recording behind" in line]


def test_sound_of_joined_recordings_goes_on(tmp_path):
    path = joined(tmp_path / "joined.ts", 10.0, 10.2, count=25, audio="aac")
    with VideoReader(path) as reader, VideoWriter.like(tmp_path / "out.mp4", reader.info) as writer:
        for frame in reader:
            writer.write(frame.image, frame.pts)
    times = [time for _, time in audio_packets(writer.path)]
    assert np.diff(times) == pytest.approx(1024 / 48000, abs=0.002) and writer.warnings == []
    assert times[-1] - times[0] == pytest.approx(2, abs=0.15)


def test_a_counter_that_overflows(tmp_path):
    """MPEG's clock starts again at 0 after 26.5 hours."""
    overflow = (1 << 33) / 90000
    for before in (0.24, 100.0):  # seconds
        last = [overflow - before + index / 25 for index in range(12)]
        path = encode(tmp_path / f"{before}.ts", [round(seconds / TICK) for seconds in last])
        if before > 60:  # the recording goes on after a gap
            path.write_bytes(path.read_bytes() + encode(tmp_path / "rest.ts", even(12)).read_bytes())
        reader, frames = read(path)
        steps = np.diff([frame.seconds for frame in frames])
        if before > 60:
            assert steps[11] == pytest.approx(before - 11 / 25, abs=1e-4)
            steps = np.delete(steps, 11)
        assert steps == pytest.approx(1 / 25, abs=2e-5) and reader.warnings == []


def test_the_shared_recording_whose_clock_steps_back(shared):
    path = shared / "cases" / "video" / "clock_steps_back.ts"
    if not path.is_file():
        pytest.skip("an older copy of the shared data")
    frames = read(path)[1]
    assert len(frames) == 104 and {b.pts - a.pts for a, b in pairwise(frames)} == {3000}


# --- writing ---------------------------------------------------------------------------------------------------


def write(path, pts, *, size=(96, 64), time_base=TICK, **options) -> VideoWriter:
    with VideoWriter(path, *size, time_base, **options) as writer:
        for number, value in enumerate(pts):
            writer.write(picture(number, *size), value)
    return writer


@pytest.mark.parametrize(
    ("size", "preset", "other"), [((640, 480), "fast", "veryfast"), ((1280, 720), "veryfast", "fast")]
)
def test_large_frames_are_encoded_faster(size, preset, other, tmp_path):
    """The default's bytes are those of the preset for this size."""
    one, same, different = (
        write(tmp_path / f"{name}.mp4", range(3), size=size, preset=name).path.read_bytes()
        for name in (None, preset, other)
    )
    assert one == same != different


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_written_file(suffix, codec, tmp_path):
    pts = [0, 500, 1536, 1600, 40000, 41000]
    writer = write(tmp_path / f"out{suffix}", pts, codec=codec, preset="ultrafast")
    assert writer.frames == 6 and writer.warnings == []
    _, frames = read(writer.path)
    tolerance = 0.0005 if suffix == ".mkv" else 0  # Matroska rounds to milliseconds
    assert [frame.seconds for frame in frames] == pytest.approx([float(value * TICK) for value in pts], abs=tolerance)
    assert marks(frames) == list(range(6))
    with av.open(str(writer.path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert (stream.codec_context.name, stream.codec_context.codec_tag) in {
            ("h264", "avc1"),
            ("hevc", "hvc1"),
            ("h264", "\\0\\0\\0\\0"),
            ("hevc", "\\0\\0\\0\\0"),
        } or suffix == ".mkv"
        first = next(container.decode(stream))
        assert (int(first.colorspace), int(first.color_range)) == (1, 1)
    content = writer.path.read_bytes()
    assert suffix == ".mkv" or content.index(b"moov") < content.index(b"mdat")
    assert os.listdir(tmp_path) == [writer.path.name]


@pytest.mark.parametrize(
    "time_base", [Fraction(1, 25), Fraction(1001, 30000), Fraction(1, 90000), Fraction(1, 1200000)]
)
def test_time_bases_survive(time_base, tmp_path):
    step = max(1, round(Fraction(1, 25) / time_base))
    pts = [7 + index * step for index in range(5)]
    path = write(tmp_path / "out.mp4", pts, time_base=time_base, preset="ultrafast").path
    reader, frames = read(path)
    assert [frame.pts * reader.info.time_base for frame in frames] == [value * time_base for value in pts]


def test_times_that_do_not_increase(tmp_path):
    path = write(tmp_path / "out.mp4", [0, 512, 512, 300, 2048], preset="ultrafast").path
    assert [frame.pts for frame in read(path)[1]] == [0, 512, 513, 514, 2048]


def test_colours_survive(tmp_path):
    rng = np.random.default_rng(3)
    colours = rng.integers(20, 235, (6, 3))
    path = tmp_path / "out.mp4"
    with VideoWriter(path, 64, 48, Fraction(1, 25), crf=5) as writer:
        for index, colour in enumerate(colours):
            writer.write(np.full((48, 64, 3), colour, np.uint8), index)
    for colour, frame in zip(colours, read(path)[1], strict=True):
        assert np.abs(frame.image.reshape(-1, 3).mean(axis=0) - colour).max() < 6


@pytest.mark.parametrize("size", [(101, 67), (101, 64), (96, 67), (1, 1), (16, 16), (17, 2)])
def test_odd_sizes_are_filled_up(size, tmp_path):
    path = tmp_path / "out.mp4"
    image = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    with VideoWriter(path, *size, Fraction(1, 25), crf=1) as writer:
        for index in range(3):
            writer.write(image, index)
    reader, frames = read(path)
    assert (reader.info.width, reader.info.height) == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    assert len(frames) == 3
    # Luma stays where it was.
    weights = np.array([0.2126, 0.7152, 0.0722])
    assert np.abs(frames[1].image[: size[1], : size[0]] @ weights - image @ weights).mean() < 12


def copy(odd, out, **options) -> VideoWriter:
    with VideoReader(odd.path) as reader, VideoWriter.like(out, reader.info, preset="ultrafast", **options) as writer:
        for frame in reader:
            writer.write(frame.image, frame.pts)
    return writer


SOUND = ["aac_mp4", "vp9_webm", "flac_mkv", "ac3_mkv", "mpeg4_avi_with_b_frames", "transport_stream", "mjpeg_avi"]


@pytest.mark.parametrize("name", [*SOUND, "starts_at_ten_seconds", "sound_starts_later", "interlaced"])
def test_sound_is_copied(name, odd_video, tmp_path):
    odd = odd_video(name)
    writer = copy(odd, tmp_path / "out.mp4")
    assert writer.has_audio and writer.warnings == []
    before, after = audio_packets(odd.path), audio_packets(writer.path)
    assert len(before) == len(after) > 3
    if name != "transport_stream":  # ADTS headers are taken off there, as MP4 asks
        assert [content for content, _ in before] == [content for content, _ in after]
    shifts = [b - a for (_, a), (_, b) in zip(before, after, strict=True)]
    assert shifts == pytest.approx([0] * len(shifts), abs=0.0011)  # the sources' clocks may tick in milliseconds
    frames = zip(read(odd.path)[1], read(writer.path)[1], strict=True)
    assert all(a.seconds == pytest.approx(b.seconds, abs=1e-5) for a, b in frames)


def test_sound_that_a_container_cannot_hold(tmp_path):
    path = encode(tmp_path / "old.wmv", container="asf", codec="mpeg4", audio="wmav2")
    with VideoReader(path) as reader:
        assert reader.info.has_audio
        frames = list(reader)
        with VideoWriter.like(tmp_path / "out.mp4", reader.info) as writer:
            for frame in frames:
                writer.write(frame.image, frame.pts)
    assert len(writer.warnings) == 1 and "the result is silent" in writer.warnings[0]
    assert not writer.has_audio
    assert marks(read(writer.path)[1]) == list(range(12))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("pipe", ["named", "-"])
def test_sound_of_a_pipe_is_left_out(pipe, tmp_path):
    """It cannot be read a second time; waiting for that would never end."""
    name = "-"
    if pipe == "named":
        os.mkfifo(tmp_path / "pipe")
        name = str(tmp_path / "pipe")
    with VideoWriter(tmp_path / "out.mp4", 96, 64, TICK, audio_from=name, preset="ultrafast") as writer:
        writer.write(picture(0), 0)
    assert not writer.has_audio and "from a pipe" in writer.warnings[0]


@pytest.mark.parametrize("name", ["starts_at_ten_seconds", "aac_mp4"])
def test_a_part_begins_at_zero(name, odd_video, tmp_path):
    """Else players would show nothing for as long as the part left out."""
    odd = odd_video(name)
    with VideoReader(odd.path) as reader:
        frames = list(reader)[6:]
        begin = frames[0].pts * reader.info.time_base
        with VideoWriter.like(tmp_path / "out.mp4", reader.info, audio_start=begin, preset="ultrafast") as writer:
            for frame in frames:
                writer.write(frame.image, frame.pts)
    written = read(writer.path)[1]
    assert [frame.seconds for frame in written] == pytest.approx([index / 25 for index in range(6)], abs=1e-5)
    assert writer.warnings == []
    after = audio_packets(writer.path)
    before = audio_packets(odd.path)[-len(after) :]
    assert [content for content, _ in after] == [content for content, _ in before]
    shifts = [a - b for (_, a), (_, b) in zip(before, after, strict=True)]
    assert shifts == pytest.approx([float(begin)] * len(shifts), abs=0.0011)
    assert -0.025 < after[0][1] < 0.025


def test_a_late_clock_begins_at_zero(tmp_path):
    """Broadcasts and cameras count from midnight or longer ago."""
    first = 20 * 3600 * 12800
    source = encode(tmp_path / "late.mkv", even(12, first), audio="aac", audio_start=20 * 3600)
    assert read(source)[1][0].seconds == 72000
    with VideoReader(source) as reader, VideoWriter.like(tmp_path / "out.mp4", reader.info) as writer:
        for frame in reader:
            writer.write(frame.image, frame.pts)
    assert writer.warnings == ["starts at 72000 s on its own clock; what is written starts at 0"]
    assert [frame.seconds for frame in read(writer.path)[1]] == pytest.approx([index / 25 for index in range(12)])
    shifts = [a - b for (_, a), (_, b) in zip(audio_packets(source), audio_packets(writer.path), strict=True)]
    assert shifts == pytest.approx([72000] * len(shifts), abs=0.0011)


def test_gap_too_long_for_mp4(tmp_path):
    pts = [0, 512, 512 + 60 * 3600 * 12800]
    with pytest.raises(OutputError, match=r"a gap of 60 hours .* write \.mkv instead"):
        write(tmp_path / "out.mp4", pts)
    path = write(tmp_path / "out.mkv", pts, preset="ultrafast").path
    assert [frame.seconds for frame in read(path)[1]] == pytest.approx([0, 0.04, 216000.04])


def test_negative_start_shifts_sound_and_pictures_alike(odd_video, tmp_path):
    odd = odd_video("aac_mp4")
    with VideoWriter(tmp_path / "out.mp4", 96, 64, TICK, audio_from=odd.path, preset="ultrafast") as writer:
        for number in range(12):
            writer.write(picture(number), (number - 5) * FRAME)
    assert [frame.pts for frame in read(writer.path)[1]] == even(12)
    before, after = audio_packets(odd.path), audio_packets(writer.path)
    shifts = [b - a for (_, a), (_, b) in zip(before, after, strict=True)]
    assert shifts == pytest.approx([0.2] * len(shifts), abs=1e-4)


def test_sound_of_a_range(tmp_path):
    source = encode(tmp_path / "long.mp4", count=50, audio="aac")
    out = tmp_path / "out.mp4"
    with VideoWriter(out, 96, 64, TICK, audio_from=source, audio_start=Fraction(1, 2), preset="ultrafast") as writer:
        for number in range(13, 26):
            writer.write(picture(number), number * FRAME)
        writer.end_audio_at(Fraction(26 * FRAME) * TICK)
    times = [time for _, time in audio_packets(out)]
    assert -0.03 < times[0] < 0.02 and 0.48 < times[-1] <= 0.52


def test_existing_files_are_safe(tmp_path):
    out = tmp_path / "out.mp4"
    out.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists already"):
        write(out, even(3))
    assert out.read_bytes() == b"precious"
    with pytest.raises(ZeroDivisionError), VideoWriter(out, 96, 64, TICK, overwrite=True) as writer:
        writer.write(picture(0), 0)
        raise ZeroDivisionError
    assert out.read_bytes() == b"precious"
    assert os.listdir(tmp_path) == ["out.mp4"]
    write(out, even(3), overwrite=True, preset="ultrafast")
    assert marks(read(out)[1]) == [0, 1, 2]
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_name_taken_meanwhile(tmp_path):
    """Neither the other file nor the work is lost."""
    out = tmp_path / "out.mp4"
    with (
        pytest.raises(OutputError, match=r"exists already.*kept as .*\.out\.mp4\.tmp"),
        VideoWriter(out, 96, 64, TICK) as w,
    ):
        w.write(picture(0), 0)
        out.write_bytes(b"precious")
    assert out.read_bytes() == b"precious"
    assert marks(read(tmp_path / ".out.mp4.tmp")[1]) == [0]


def test_symbolic_link_as_output(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "out.mp4").symlink_to(tmp_path / "real" / "clip.mp4")
    write(tmp_path / "out.mp4", even(2), preset="ultrafast")
    assert (tmp_path / "out.mp4").is_symlink() and marks(read(tmp_path / "real" / "clip.mp4")[1]) == [0, 1]


def test_folder_removed_meanwhile(tmp_path):
    out = _folder(tmp_path / "gone") / "out.mp4"
    with pytest.raises(OutputError, match=r"out\.mp4: "), VideoWriter(out, 96, 64, TICK) as writer:
        writer.write(picture(0), 0)
        for left in out.parent.iterdir():
            left.unlink()
        out.parent.rmdir()


def test_two_runs_on_one_output(tmp_path):
    out = tmp_path / "out.mp4"
    with VideoWriter(out, 96, 64, TICK) as first:
        with pytest.raises(OutputError, match="another run"), VideoWriter(out, 96, 64, TICK):
            pass
        first.write(picture(0), 0)
    assert len(read(out)[1]) == 1


def test_writer_refuses(tmp_path):
    with pytest.raises(OutputError, match="folder does not exist"):
        write(tmp_path / "nowhere" / "out.mp4", even(1))
    with pytest.raises(OutputError, match="folder"):
        write(tmp_path, even(1)) if tmp_path.suffix == ".mp4" else write(_folder(tmp_path / "x.mp4"), even(1))
    with pytest.raises(OutputError, match="no frame to write"):
        write(tmp_path / "out.mp4", [])
    for options in ({"codec": "vp9"}, {"crf": 99}, {"preset": "placebo?"}):
        with pytest.raises(UsageError):
            write(tmp_path / "out.mp4", even(1), **options)
    with pytest.raises(UsageError, match=r"written as \.mp4"):
        write(tmp_path / "out.avi", even(1))
    with (
        pytest.raises(ValueError, match=r"expected \(64, 96, 3\)"),
        VideoWriter(tmp_path / "o.mp4", 96, 64, TICK) as out,
    ):
        out.write(picture(0, 64, 64), 0)
    assert os.listdir(tmp_path) == ["x.mp4"]


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a file size limit")
def test_disk_full(tmp_path):
    script = f"""
import resource, signal
import numpy as np
from fractions import Fraction
from ftpcli.video import VideoWriter
from ftpcli.errors import OutputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
rng = np.random.default_rng(0)
try:
    with VideoWriter({str(tmp_path / "out.mp4")!r}, 320, 240, Fraction(1, 25), preset="ultrafast", crf=1) as writer:
        for index in range(60):
            writer.write(rng.integers(0, 255, (240, 320, 3), dtype=np.uint8), index)
except OutputError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert "out.mp4: the file may not grow" in run.stdout, run.stdout + run.stderr
    assert os.listdir(tmp_path) == []


def test_same_input_same_file(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        write(tmp_path / name, even(12))
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_memory_stays_flat(tmp_path):
    """Frames are not collected: a few thousand of them cost no more than a few hundred."""
    script = f"""
import resource, sys
from ftpcli.video import VideoReader
def peak(path):
    with VideoReader(path) as reader:
        for frame in reader:
            pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
small = peak({str(encode(tmp_path / "small.mp4", count=64, size=(320, 240)))!r})
print(peak({str(encode(tmp_path / "large.mp4", count=1200, size=(320, 240)))!r}) - small)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert int(run.stdout) < 20_000  # kilobytes; 1,200 pictures would be 270,000


def test_what_a_video_says_of_itself_and_errors_are_one_line(odd_video, tmp_path):
    with open_source(odd_video("rotated_90").path) as reader:
        info = reader.info
    assert (info.width, info.height, info.rotation, info.frames, info.codec) == (64, 96, 90, 12, "h264")
    assert info.average_rate == 25 and info.duration == pytest.approx(0.48) and info.time_base == TICK
    for bad in (tmp_path / "missing", tmp_path):
        with pytest.raises(FtpError) as caught, VideoReader(bad):
            pass
        assert "\n" not in str(caught.value) and str(bad) in str(caught.value)
