"""A very long video through the whole chain: ``python -m tests.support.soak --frames 100000``. Prints memory.

The clip is made on the fly and read through a named pipe, looped, so that no file of that length is needed; nobody
is in it but for every tenth second, so that the time goes into frames rather than into the model.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

RATE = 25


def long_clip(path: Path, frames: int, size: tuple[int, int] = (96, 64)) -> Path:
    """MPEG-4 in Matroska, written as fast as the reader takes it."""
    from tests.support.odd_videos import picture

    import av  # isort: skip

    pictures = [
        av.VideoFrame.from_ndarray(picture(n, *size), format="rgb24").reformat(format="yuv420p") for n in range(64)
    ]
    with av.open(str(path), "w", format="matroska") as output:
        stream = output.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(frames):
            frame = pictures[number % 64]
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def resident() -> float:
    """MiB of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def soak(frames: int, folder: Path, points: int = 20) -> list[tuple[int, float]]:
    """(frames done, MiB) at ``points`` places. Raises AssertionError where a frame or its time is not right."""
    from ftpcli.annotation.annotator import Annotator
    from ftpcli.annotation.options import Options
    from ftpcli.annotation.outputs import Progress, Target, annotate_file
    from ftpcli.formats import open_poses
    from tests.support.tiny import mot_boxes, tiny_weights

    clip = folder / "long.mkv"
    os.mkfifo(clip)
    writer = threading.Thread(target=long_clip, args=(clip, frames), daemon=True)
    busy = [second * RATE + n for second in range(0, frames // RATE, 10) for n in range(2)]
    boxes = mot_boxes(folder / "boxes.txt", frames, people=1, absent=set(range(frames)) - set(busy))
    annotator = Annotator(Options(weights=str(tiny_weights(folder / "model.safetensors")), boxes=str(boxes)))
    seen: list[tuple[int, float]] = []

    def tell(progress: Progress) -> None:
        if progress.frames * points // frames >= len(seen):
            seen.append((progress.frames, resident()))
            print(f"{progress.frames} frames, {seen[-1][1]:.0f} MiB", flush=True)

    writer.start()
    summary = annotate_file(annotator, str(clip), Target(folder / "out.jsonl"), tell=tell)
    assert summary.frames == frames and summary.bad_packets == 0
    last = -1
    with open_poses(folder / "out.jsonl") as poses:
        for record in poses:
            last += 1
            assert record.index == last and abs(record.seconds - last / RATE) < 1e-3
    assert last == frames - 1
    return seen


def growth(seen: list[tuple[int, float]]) -> float:
    """MiB per 100,000 frames in the last three quarters, by least squares."""
    late = np.array(seen[len(seen) // 4 :])
    return float(np.polyfit(late[:, 0], late[:, 1], 1)[0] * 100_000)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.soak", description="Memory and times over very many frames."
    )
    parser.add_argument("--frames", type=int, default=100_000)
    asked = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        seen = soak(asked.frames, Path(name))
    print(f"{asked.frames} frames in {time.monotonic() - started:.0f} s, the last at {(asked.frames - 1) / RATE} s")
    print(f"memory grows by {growth(seen):.1f} MiB per 100,000 frames")
    return 0


if __name__ == "__main__":
    sys.exit(main())
