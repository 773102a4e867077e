"""What is drawn with the frames before in mind: faces that stay covered, trails; and angles."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from ftpcli.drawing.drawer import Drawer
from ftpcli.drawing.overlay import LEFT, Style, draw
from ftpcli.drawing.rendering import render
from ftpcli.records import Pose
from ftpcli.skeleton import PERSON19, POSETRACK17
from ftpcli.video import VideoWriter
from tests.drawing.test_overlay import at, person, plain
from tests.drawing.test_render import poses_of, read
from tests.support.odd_videos import encode

BARE = Style(boxes=False, ids=False, threshold=1.1, blur_faces=True)  # no line is drawn


def noise(width: int = 320, height: int = 240) -> np.ndarray:
    """A picture in which every covered place shows."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def covered(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels that changed."""
    return (before != after).any(axis=2)


def head(pose: Pose, joints: tuple[str, ...] = PERSON19.joints) -> list[tuple[int, int]]:
    names = ("nose", "left_ear", "right_ear", "head_top")
    return [tuple(pose.keypoints[joints.index(name)].round().astype(int)) for name in names]


def hidden(mask: np.ndarray, pose: Pose) -> bool:
    """Whether all of the head, as the figure has it, is covered."""
    return all(mask[max(0, y - 1) : y + 2, x - 1 : x + 2].mean() > 0.9 for x, y in head(pose))


def test_the_head_is_covered_and_little_else() -> None:
    image, pose = noise(), person((100, 20, 180, 230))
    mask = covered(image, Drawer(PERSON19.joints, BARE)(image, [pose], 0.0))
    assert hidden(mask, pose) and not mask[110:].any() and mask.mean() < 0.12
    face = Drawer(PERSON19.joints, BARE)(image, [pose], 0.0)[30:42, 132:148]
    assert np.std(face.sum(axis=2)) < 20 < 100 < np.std(image[30:42, 132:148].sum(axis=2))


def test_a_face_stays_covered_while_its_joints_or_the_person_are_lost() -> None:
    blur, image, pose = Drawer(PERSON19.joints, BARE), noise(), person((100, 20, 180, 230))
    blur(image, [pose], 0.0)
    moved = person((110, 20, 190, 230))
    lost = replace(moved, confidence=np.zeros(19))
    assert hidden(covered(image, blur(image, [lost], 0.04)), moved)
    wild = replace(moved, keypoints=moved.keypoints + np.where(np.arange(19)[:, None] < 5, [0.0, 120.0], 0.0))
    assert hidden(covered(image, blur(image, [wild], 0.08)), moved)  # head joints leap to the knees
    blur(image, [moved], 0.12)
    for seconds in (0.2, 0.6, 1.1):
        assert hidden(covered(image, blur(image, [], seconds)), moved)
    assert not covered(image, blur(image, [], 1.2)).any()


@pytest.mark.parametrize("joints", [PERSON19.joints, POSETRACK17.joints, ("left_wrist",), ()])
def test_without_head_joints_the_upper_part_of_the_box_is_covered(joints: tuple[str, ...]) -> None:
    image, whole = noise(), person((100, 20, 180, 230))
    one = Pose(1, whole.box, 0.9, np.zeros((len(joints), 2)), np.zeros(len(joints)))
    assert hidden(covered(image, Drawer(joints, BARE)(image, [one], 0.0)), whole)
    outside = replace(one, box=np.array([-500.0, -500, -400, -300]))
    Drawer(joints, BARE)(image, [outside, replace(one, track_id=2, box=np.full(4, np.nan))], 0.0)


def test_trails_follow_for_their_seconds_and_break_with_the_person() -> None:
    bare = Style(boxes=False, ids=False, trails=0.2)
    drawer, joint = Drawer(PERSON19.joints, bare), PERSON19.joints.index("left_wrist")
    places = []
    for number in range(12):
        pose = person((20 + 20 * number, 10, 60 + 20 * number, 230))
        image = drawer(plain(400, 240), [pose], number / 25)
        places.append(pose.keypoints[joint].round().astype(int))
    x, y = (places[9] + places[10]) // 2
    assert np.abs(image[y, x].astype(int) - LEFT).max() < 40
    x, y = places[3]
    assert image[y - 1 : y + 2, x - 1 : x + 2].tolist() == np.full((3, 3, 3), 90).tolist()
    after = drawer(plain(400, 240), [], 13 / 25)
    assert (after == 90).all()
    assert np.array_equal(
        Drawer(PERSON19.joints, bare)(plain(), [pose], 0.0), draw(plain(), [pose], PERSON19.joints, bare)
    )


def test_angles_stand_beside_their_joints() -> None:
    pose, style = person((100, 10, 200, 230)), Style(boxes=False, ids=False)
    without, with_them = (draw(plain(), [pose], PERSON19.joints, s) for s in (style, replace(style, angles=True)))
    mask = covered(without, with_them)
    x, y = pose.keypoints[PERSON19.joints.index("left_knee")].round().astype(int)
    assert mask[y - 10 : y + 1, x : x + 30].any() and not mask[200:, :].any()
    assert at(with_them, pose, "left_ankle") == LEFT
    draw(plain(), [person((0, 0, 9, 9), joints=("nose",))], ("nose",), replace(style, angles=True))


def test_render_covers_people_who_are_not_drawn_too(tmp_path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 192, 128, Fraction(1, 25), crf=1) as writer:
        for number in range(6):
            writer.write(noise(192, 128), number)
    poses = poses_of(tmp_path / "a.mp4", tmp_path / "a.jsonl", tracks=(3, 4))
    for name, blur in (("plain", False), ("blurred", True)):
        style = Style(boxes=False, ids=False, threshold=1.0, blur_faces=blur)
        render(tmp_path / "a.mp4", poses, tmp_path / f"{name}.mp4", style=style, only=[3], crf=1)
    before, after = (read(tmp_path / f"{name}.mp4")[1] for name in ("plain", "blurred"))
    assert len(after) == len(before) == 6
    for one, other in zip(before, after, strict=True):
        change = np.abs(one.image.astype(int) - other.image).max(axis=2) > 40
        assert [change[64:84, left : left + 40].mean() > 0.1 for left in (20, 78)] == [True, True]
        assert change[95:].mean() < 0.05


def test_the_commands(command, tmp_path, tiny_model) -> None:
    from tests.support.tiny import mot_boxes

    video = encode(tmp_path / "a.mp4")
    boxes = mot_boxes(tmp_path / "boxes.txt", 12)
    words = (
        "annotate",
        video,
        "--boxes",
        boxes,
        "--weights",
        tiny_model,
        "--device",
        "cpu",
        "--out",
        tmp_path / "p.jsonl",
    )
    ran = command(*words, "--blur-faces")
    assert ran.code == 2 and "--overlay" in ran.err
    ran = command(*words, "--blur-faces", "--overlay", tmp_path / "o.mp4", "--frames", tmp_path / "f")
    assert ran.code == 2 and "--frames" in ran.err and not (tmp_path / "p.jsonl").exists()
    extras = ("--blur-faces", "--trails", 0.5, "--angles")
    assert command(*words, *extras, "--overlay", tmp_path / "o.mp4").code == 0
    ran = command("render", video, tmp_path / "p.jsonl", *extras, "--out", tmp_path / "r.mp4")
    assert ran.code == 0
    frames = [read(tmp_path / name)[1] for name in ("o.mp4", "r.mp4")]
    for one, other in zip(*frames, strict=True):
        assert np.abs(one.image.astype(int) - other.image).mean() < 3  # the same drawing
