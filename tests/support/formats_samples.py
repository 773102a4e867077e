"""Poses made from a seed, for the tests of files, part files and smoothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from importlib.util import find_spec
from typing import Any

import numpy as np

from ftpcli.choices import Format
from ftpcli.formats import SINKS
from ftpcli.records import FramePoses, Header, Pose, RunInfo, SourceInfo
from ftpcli.skeleton import PERSON19

SIZE = (640, 360)
READABLE = (Format.JSONL, Format.COCO, Format.POSETRACK, Format.POSETRACK17)
#: Formats whose library is installed.
WRITABLE = [name for name, sink in SINKS.items() if not sink.library or find_spec(sink.library)]


def header(joints: tuple[str, ...] = PERSON19.joints, path: str = "walk in park.mp4", **source: Any) -> Header:
    return Header(
        joints,
        SourceInfo(
            **{
                "path": path,
                "width": SIZE[0],
                "height": SIZE[1],
                "time_base": Fraction(1, 15360),
                "average_rate": Fraction(30000, 1001),
                "rotation": 90,
                "frames": 6,
                "bad_packets": 0,
                **source,
            }
        ),
        RunInfo(version="0.1.0", model={"name": "tiny", "sha256": "ab" * 32}, options={"batch": 8, "every": None}),
    )


def pose(rng: np.random.Generator, track: int, joints: int = 19) -> Pose:
    corner = rng.uniform(-20, 300, 2)
    size = rng.uniform(30, 200, 2)
    keypoints = corner + rng.uniform(-0.1, 1.1, (joints, 2)) * size
    return Pose(
        track,
        np.concatenate([corner, corner + size]),
        float(rng.uniform(0.3, 1)),
        keypoints,
        rng.uniform(0.01, 1, joints),
    )


def frames(count: int = 6, seed: int = 0, joints: int = 19, step: int = 1) -> list[FramePoses]:
    """Frames at an uneven rate; the first two and every fifth have nobody in them."""
    rng = np.random.default_rng(seed)
    result = []
    pts = -512
    for number in range(count):
        people = 0 if number < 2 or number % 5 == 4 else int(rng.integers(1, 4))
        tracks = rng.permutation(9)[:people] + 1
        poses = tuple(pose(rng, int(track), joints) for track in tracks)
        result.append(FramePoses(number * step, pts, pts / 15360, poses))
        pts += int(rng.integers(1, 1500))
    return result


def walk(count: int) -> list[FramePoses]:
    """Frames with and without people, who are sorted by id; one joint was not located."""
    made = frames(count, seed=3)
    person = next(pose for frame in made for pose in frame.poses)
    person.confidence[3] = 0.0
    person.keypoints[3] = 0.0
    return [replace(f, poses=tuple(sorted(f.poses, key=lambda p: p.track_id))) for f in made]


def flat(frame: FramePoses) -> tuple:
    """Everything in a frame as plain values that compare exactly."""
    return (
        frame.index,
        frame.pts,
        frame.seconds,
        [(p.track_id, p.box.tolist(), p.score, p.keypoints.tolist(), p.confidence.tolist()) for p in frame.poses],
    )


def assert_same(found: Iterable[FramePoses], expected: Iterable[FramePoses], pixels: float = 0.0) -> None:
    """Equal frames; coordinates may differ by ``pixels`` (twice that at the far corner of a box)."""
    for a, b in zip(found, expected, strict=True):
        assert (a.index, a.pts, a.seconds) == (b.index, b.pts, b.seconds)
        assert [p.track_id for p in a.poses] == [p.track_id for p in b.poses]
        for p, q in zip(a.poses, b.poses, strict=True):
            assert p.score == q.score
            assert p.confidence.tolist() == q.confidence.tolist()
            np.testing.assert_allclose(p.keypoints, q.keypoints, rtol=0, atol=pixels)
            np.testing.assert_allclose(p.box, q.box, rtol=0, atol=2 * pixels)


def failing(items: list[FramePoses], error: BaseException) -> Iterator[FramePoses]:
    """The frames, then an exception where more would come."""
    yield from items
    raise error
