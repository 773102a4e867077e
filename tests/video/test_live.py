"""Cameras and streams: what came is in the file, whatever ends them. Cameras are stood in for by FFmpeg's lavfi."""

from __future__ import annotations

import errno
import http.server
import itertools
import json
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from ftpcli.annotation.annotator import Annotator
from ftpcli.annotation.options import Options
from ftpcli.files import inputs
from ftpcli.files.inputs import camera, resolve_inputs
from ftpcli.video import VideoReader, opening, reading
from ftpcli.video.live import LiveReader, is_live
from tests.support.odd_videos import encode, read_mark
from tests.support.tiny import mot_boxes, records

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="cameras are called otherwise there")


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes every camera a generated picture at its own pace."""

    def set_up(graph: str) -> None:
        monkeypatch.setattr(opening, "_camera_input", lambda device: (graph, "lavfi"))
        monkeypatch.setattr(inputs, "_camera_source", lambda name, device: inputs.Source(device, "video"))

    return set_up


@pytest.fixture
def words(tmp_path: Path, tiny_model: Path) -> list[Any]:
    boxes = mot_boxes(tmp_path / "boxes.txt", 9)
    return ["--boxes", boxes, "--weights", tiny_model, "--device", "cpu", "--out", tmp_path / "p.jsonl"]


@needs_linux
def test_what_is_a_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert camera("0") == "/dev/video0" and camera("/dev/video12") == "/dev/video12"
    assert [camera(name) for name in ("-", "0.mp4", "rtsp://x", "123", "/dev/null")] == [None] * 5
    _, errors = resolve_inputs(["77"])
    assert "no camera /dev/video77" in str(errors[0])
    encode(tmp_path / "0", container="mp4")
    assert camera("0") is None and resolve_inputs(["0"])[0][0].path == "0"  # a file goes before a camera


@needs_linux
def test_frames_are_worked_on_as_they_come(stand_in, words) -> None:
    """One at a time where the work keeps up, the more together the longer they have waited."""
    stand_in("testsrc=size=96x64:rate=10,realtime")
    sizes: dict[float, list[int]] = {}
    for pause in (0.0, 0.5):
        annotator = Annotator(Options(boxes=str(words[1]), weights=str(words[3]), end=1.85), device="cpu")
        with annotator.open("/dev/video0") as annotation:
            assert annotation.live
            sizes[pause] = [time.sleep(pause) or len(chunk) for chunk in annotation.chunks()]
    assert sorted(sizes[0.0])[len(sizes[0.0]) // 2] == 1 and 2 < max(sizes[0.5]) <= 4


@needs_linux
def test_a_camera_for_some_time(command, stand_in, words, tmp_path: Path) -> None:
    stand_in("testsrc=size=96x64:rate=25,realtime")
    ran = command("annotate", "0", *words, "--duration", "0.6")
    assert ran.code == 0, ran.err
    header, frames = records(tmp_path / "p.jsonl")
    assert frames[-1]["seconds"] < 0.6 + frames[0]["seconds"] and header["run"]["options"]["duration"] == 0.6
    seen = len(frames) + sum(int(line.split()[0]) for line in header["source"]["warnings"])
    assert seen == 15 and frames[-1]["index"] <= 15  # passed over or annotated
    assert "latency" in ran.err and header["source"]["path"] == "video0"


@needs_linux
def test_a_camera_that_goes_away(command, stand_in, words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in("testsrc=size=96x64:rate=100")

    class Unplugged:
        """A container whose device goes after some pictures."""

        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def demux(self, stream: Any) -> Iterator[Any]:
            yield from itertools.islice(self._inner.demux(stream), 9)
            raise av.error.OSError(errno.ENODEV, "No such device", "/dev/video0")

    monkeypatch.setattr(reading, "open_container", lambda *a, **k: Unplugged(opening.open_container(*a, **k)))
    monkeypatch.setattr(reading, "choose_stream", lambda container, name: opening.choose_stream(container._inner, name))
    ran = command("annotate", "/dev/video0", *words, "--overlay", tmp_path / "o.mp4")
    assert ran.code == 0 and any("No such device" in line for line in ran.lines)
    header, frames = records(tmp_path / "p.jsonl")
    assert [frame["index"] for frame in frames] == list(range(9)) and (tmp_path / "o.mp4").exists()
    assert any("No such device" in line for line in header["source"]["warnings"])


def test_frames_that_are_not_taken_in_time_are_passed_over_and_counted(tmp_path: Path) -> None:
    reader = VideoReader(encode(tmp_path / "a.mp4", count=60)).__enter__()
    live = LiveReader(reader)
    frames = []
    for frame in live:
        if not frames:
            until = time.monotonic() + 300
            while not live._over and time.monotonic() < until:
                time.sleep(0.01)
        frames.append(frame)
    assert len(frames) <= 27 and frames[-1].index == 59  # a second of 25 frames, and those taken before
    assert [read_mark(frame.image) for frame in frames] == [frame.index for frame in frames]
    assert live.warnings[-1].startswith(f"{60 - len(frames)} frames passed over") and live.decoded == 60
    assert set(live.arrivals) == {frame.index for frame in frames}
    live.close()
    live.close()


def test_an_error_in_the_thread_is_that_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = VideoReader(encode(tmp_path / "a.mp4")).__enter__()
    monkeypatch.setattr(reader, "_convert", lambda picture: (_ for _ in ()).throw(MemoryError("pixels")))
    with pytest.raises(MemoryError, match="pixels"):
        list(LiveReader(reader))


class _Endless(http.server.BaseHTTPRequestHandler):
    """Sends a stream without a length, then hangs up, as a camera of the network does."""

    data = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        self.wfile.write(self.data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def http_address(tmp_path: Path) -> Iterator[str]:
    _Endless.data = encode(tmp_path / "s.ts", count=20, container="mpegts").read_bytes()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Endless) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/live.ts"
        server.shutdown()


def test_a_stream_by_http(command, http_address: str, words, tmp_path: Path) -> None:
    ran = command("annotate", http_address, *words)
    assert ran.code == 2 and "--allow-network" in ran.err
    ran = command("annotate", http_address, *words, "--allow-network")
    assert ran.code == 0, ran.err
    header, frames = records(tmp_path / "p.jsonl")
    assert [frame["index"] for frame in frames] == list(range(20)) and header["source"]["path"] == "live.ts"
    with VideoReader(http_address, allow_network=True) as reader:
        assert is_live(http_address, reader.info) is ("latency" in ran.err)


class _Rtsp(socketserver.StreamRequestHandler):
    """Enough of an RTSP camera: an MPEG-TS stream in RTP packets, interleaved on the connection, which then ends."""

    data = b""

    def handle(self) -> None:
        while line := self.rfile.readline().decode().strip():
            method, number, status = line.split()[0], "0", "200 OK"
            while head := self.rfile.readline().decode().strip():
                if head.lower().startswith("cseq:"):
                    number = head.split(":")[1].strip()
                if head.lower().startswith("transport:") and "interleaved" not in head:
                    status = "461 Unsupported Transport"  # by UDP, which is tried first
            body, more = "", ""
            if method == "DESCRIBE":
                body = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track1\r\n"
                more = "Content-Type: application/sdp\r\n"
            elif method == "SETUP":
                more = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
            elif method == "OPTIONS":
                more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            answer = f"RTSP/1.0 {status}\r\nCSeq: {number}\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}"
            self.wfile.write(answer.encode())
            if method == "PLAY":
                step = 7 * 188
                for count, start in enumerate(range(0, len(self.data), step)):
                    part = self.data[start : start + step]
                    rtp = b"\x80\x21" + count.to_bytes(2, "big") + (count * 900).to_bytes(4, "big") + b"seen" + part
                    self.wfile.write(b"$\x00" + len(rtp).to_bytes(2, "big") + rtp)
                self.connection.shutdown(socket.SHUT_WR)
                self.rfile.read()  # until the other side has gone: a connection closed before may lose what was sent
                return


def test_an_rtsp_camera_that_hangs_up(command, words, tmp_path: Path) -> None:
    # Pictures as large as a camera's: FFmpeg looks at some before it starts.
    _Rtsp.data = encode(tmp_path / "s.ts", count=50, container="mpegts").read_bytes()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Rtsp) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"rtsp://127.0.0.1:{server.server_address[1]}/live"
        ran = command("annotate", address, *words, "--allow-network")
        server.shutdown()
    assert ran.code == 0, ran.err
    header, frames = records(tmp_path / "p.jsonl")
    passed = sum(int(line.split()[0]) for line in header["source"]["warnings"] if "passed over" in line)
    assert len(frames) + passed == header["source"]["frames"] >= 45 and "latency" in ran.err


def test_nobody_answers(command, words, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for address in (f"rtsp://127.0.0.1:{port}/x", f"http://127.0.0.1:{port}/x"):
        ran = command("annotate", address, *words, "--allow-network")
        assert ran.code == 1 and len(ran.lines) == 1 and address in ran.err, ran.err
    assert not list(tmp_path.glob("p*"))


def test_duration_of_a_file(command, words, tmp_path: Path) -> None:
    video = encode(tmp_path / "a.mp4", count=50, audio="aac")
    ran = command("annotate", video, *words, "--start", "0.2", "--duration", "0.5", "--overlay", tmp_path / "o.mp4")
    assert ran.code == 0, ran.err
    _, frames = records(tmp_path / "p.jsonl")
    assert [frame["index"] for frame in frames] == list(range(5, 18))
    assert command("render", video, tmp_path / "p.jsonl", "--out", tmp_path / "r.mp4").code == 0
    for name in ("o.mp4", "r.mp4"):
        with av.open(str(tmp_path / name)) as written:
            assert written.duration / av.time_base == pytest.approx(0.52, abs=0.05)
    for wrong in (["--duration", "0"], ["--duration", "1", "--end", "2"]):
        ran = command("annotate", video, *words, *wrong, "--overwrite")
        assert ran.code == 2 and len(ran.lines) == 1, ran.err


def test_no_display(command, words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    ran = command("annotate", encode(tmp_path / "a.mp4"), *words, "--show")
    assert ran.code == 2 and ran.lines == [ran.lines[0]] and "no display" in ran.err
    assert not list(tmp_path.glob("p*"))


def test_a_window(command, words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a window that only counts what it is given; Q closes it, and a file is annotated to its end all the same."""
    import cv2

    shown: list[np.ndarray] = []
    monkeypatch.setattr("ftpcli.annotation.pictures_out.check_display", lambda: None)
    monkeypatch.setattr(cv2, "imshow", lambda name, image: shown.append(image))
    monkeypatch.setattr(cv2, "waitKey", lambda wait: ord("q") if len(shown) == 5 else -1)
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: 1.0)
    monkeypatch.setattr(cv2, "destroyWindow", lambda name: None)
    ran = command("annotate", encode(tmp_path / "a.mp4"), *words, "--show", "--json")
    assert ran.code == 0 and len(shown) == 5 and shown[0].shape == (64, 96, 3)
    assert json.loads(ran.out)["done"][0]["frames"] == 12
