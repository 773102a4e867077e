"""Which frames are suggested for correction."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ftpcli.annotation.suggestions import suggest
from ftpcli.formats import open_poses, write_poses
from ftpcli.inspection.summary import summarise
from ftpcli.records import FramePoses, Pose
from ftpcli.skeleton import PERSON19
from tests.support.formats_samples import header
from tests.support.tiny import Ran


def steady(count: int) -> list[FramePoses]:
    """A person who walks, every joint certain, 30 frames a second."""
    start = np.linspace(20, 200, 38).reshape(19, 2)
    start[[n for n, joint in enumerate(PERSON19.joints) if joint.startswith("left_")], 0] += 70
    box = np.array([0.0, 0.0, 220.0, 220.0])
    return [FramePoses(n, n * 512, n / 30, (Pose(1, box, 0.9, start + n, np.full(19, 0.9)),)) for n in range(count)]


def with_pose(frame: FramePoses, **changes: object) -> FramePoses:
    return replace(frame, poses=(replace(frame.poses[0], **changes),))  # type: ignore[arg-type]


def test_weak_leaping_exchanged_and_filled_frames_come_first() -> None:
    items = steady(100)
    items[12] = with_pose(items[12], confidence=np.full(19, 0.1))
    points = items[33].poses[0].keypoints.copy()
    points[9] += 150
    items[33] = with_pose(items[33], keypoints=points)
    flip = PERSON19.flip
    items[71] = with_pose(items[71], keypoints=items[71].poses[0].keypoints[flip])
    items[90] = with_pose(items[90], filled=True)
    assert suggest(items, PERSON19.joints, 4)[0] == 12
    found = suggest(items, PERSON19.joints, 10)
    assert found == sorted(found) and len(set(found)) == 10
    assert 12 in found and 33 in found and 90 in found and 71 in found
    assert max(np.diff(found)) <= 20, "spread over the video"


def test_frames_without_people_are_not_suggested() -> None:
    items = [replace(frame, poses=()) if frame.index % 2 else frame for frame in steady(10)]
    assert suggest(items, PERSON19.joints, 99) == [0, 2, 4, 6, 8]
    assert suggest([replace(frame, poses=()) for frame in items], PERSON19.joints, 5) == []


def test_convert_takes_the_suggested_frames(tmp_path: Path, command: Callable[..., Ran]) -> None:
    items = steady(40)
    items[25] = with_pose(items[25], confidence=np.full(19, 0.1))
    write_poses(tmp_path / "in.jsonl", header(frames=40), items)
    assert command("convert", tmp_path / "in.jsonl", tmp_path / "out.json", "--suggest", 2).code == 0
    with open_poses(tmp_path / "out.json") as reader:
        found = [frame.index for frame in reader]
    assert len(found) == 2 and found[1] == 25
    told = command("info", tmp_path / "in.jsonl", "--suggest", 2, "--json")
    assert told.code == 0 and json.loads(told.out)["suggested"] == found
    assert f"correcting: {found[0]}, 25\n" in command("info", tmp_path / "in.jsonl", "--suggest", 2).out


def test_a_leap_is_one_thing_to_info_and_to_suggestions(tmp_path: Path) -> None:
    """The frame that leaps counts, not those beside it; moving on at full speed or for good is no leap."""
    items = steady(60)
    for n in range(60):
        away = np.array([8.0 * n, 200.0 * (n >= 45)])
        items[n] = with_pose(items[n], keypoints=items[n].poses[0].keypoints + away)
    points = items[22].poses[0].keypoints.copy()
    points[9] += 150
    items[22] = with_pose(items[22], keypoints=points)
    write_poses(tmp_path / "in.jsonl", header(frames=60), items)
    with open_poses(tmp_path / "in.jsonl") as reader:
        assert summarise(reader).people[0].leaps == 1
        assert 22 in suggest(reader, PERSON19.joints, 2)
