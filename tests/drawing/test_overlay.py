"""What is drawn, where, and in which colour."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from ftpcli.drawing.overlay import CENTRE, LEFT, RIGHT, Style, draw, line_width, person_colour, side_colour
from ftpcli.records import Pose
from ftpcli.skeleton import COCO17, PERSON19

FIGURE = {
    "nose": (0.5, 0.08),
    "left_eye": (0.53, 0.06),
    "right_eye": (0.47, 0.06),
    "left_ear": (0.57, 0.07),
    "right_ear": (0.43, 0.07),
    "head_bottom": (0.5, 0.16),
    "head_top": (0.5, 0.0),
    "left_shoulder": (0.68, 0.2),
    "right_shoulder": (0.32, 0.2),
    "left_elbow": (0.8, 0.35),
    "right_elbow": (0.2, 0.35),
    "left_wrist": (0.75, 0.5),
    "right_wrist": (0.3, 0.48),
    "left_hip": (0.6, 0.5),
    "right_hip": (0.4, 0.5),
    "left_knee": (0.65, 0.73),
    "right_knee": (0.35, 0.73),
    "left_ankle": (0.68, 0.96),
    "right_ankle": (0.3, 0.96),
}


def person(box, track=1, joints=PERSON19.joints, confidence=0.9) -> Pose:
    """A standing figure that fills a box (xyxy)."""
    x1, y1, x2, y2 = box
    points = np.array([[x1 + FIGURE[name][0] * (x2 - x1), y1 + FIGURE[name][1] * (y2 - y1)] for name in joints])
    return Pose(track, np.array(box, dtype=np.float64), 0.9, points, np.full(len(joints), confidence))


def plain(width=320, height=240) -> np.ndarray:
    return np.full((height, width, 3), 90, dtype=np.uint8)


def at(image, pose, joint, joints=PERSON19.joints) -> tuple[int, ...]:
    x, y = pose.keypoints[joints.index(joint)].round().astype(int)
    return tuple(image[y, x].tolist())


def test_sides_have_their_colours():
    pose = person((100, 10, 200, 230))
    image = draw(plain(), [pose], PERSON19.joints, Style(boxes=False, ids=False))
    assert at(image, pose, "left_wrist") == LEFT
    assert at(image, pose, "right_knee") == RIGHT
    assert at(image, pose, "head_top") == CENTRE
    middle = (pose.keypoints[9] + pose.keypoints[7]) / 2  # of the left forearm
    assert tuple(image[round(middle[1]), round(middle[0])].tolist()) == LEFT
    assert side_colour("nose", "left_eye") == LEFT
    assert side_colour("left_hip", "right_hip") == CENTRE


def test_the_picture_given_is_left_alone():
    image = plain()
    drawn = draw(image, [person((100, 10, 200, 230))], PERSON19.joints)
    assert (image == 90).all()
    assert drawn.shape == image.shape and drawn.dtype == np.uint8 and not np.array_equal(drawn, image)
    assert np.array_equal(draw(image, [], PERSON19.joints), image)


def test_black():
    pose = person((100, 10, 200, 230))
    image = draw(plain(), [pose], PERSON19.joints, Style(black=True, boxes=False, ids=False))
    assert image[0, 0].tolist() == [0, 0, 0] and image[120, 300].tolist() == [0, 0, 0]
    assert at(image, pose, "left_wrist") == LEFT
    assert (draw(plain(), [], PERSON19.joints, Style(black=True)) == 0).all()


def test_threshold():
    pose = person((100, 10, 200, 230))
    wrist = PERSON19.joints.index("left_wrist")
    pose.confidence[wrist] = 0.29
    image = draw(plain(), [pose], PERSON19.joints, Style(boxes=False, ids=False))
    assert at(image, pose, "left_wrist") == (90, 90, 90)
    assert at(image, pose, "left_elbow") == LEFT
    image = draw(plain(), [pose], PERSON19.joints, Style(boxes=False, ids=False, threshold=0.29))
    assert at(image, pose, "left_wrist") == LEFT
    pose.confidence[:] = 0  # joints that are not there, whatever the threshold
    assert (draw(plain(), [pose], PERSON19.joints, Style(boxes=False, ids=False, threshold=0)) == 90).all()


def test_boxes_and_ids_can_be_left_out():
    pose = person((100, 30, 200, 230), confidence=0.1)
    both = draw(plain(), [pose], PERSON19.joints)
    assert np.abs(both[150, 100] - np.array(person_colour(1))).max() < 20  # left edge, smoothed
    no_ids = draw(plain(), [pose], PERSON19.joints, Style(ids=False))
    assert np.array_equal(no_ids[150, 100], both[150, 100])
    assert (no_ids[:28] == 90).all() and not (both[:28] == 90).all()
    no_boxes = draw(plain(), [pose], PERSON19.joints, Style(boxes=False))
    assert (no_boxes[40:] == 90).all() and not (no_boxes[:32] == 90).all()


def test_an_id_keeps_its_colour_and_neighbours_differ():
    colours = [np.array(person_colour(track), dtype=float) for track in range(1, 13)]
    assert person_colour(7) == person_colour(7)
    assert min(np.abs(a - b).max() for a, b in pairwise(colours)) > 60
    assert len({person_colour(track) for track in range(1, 100)}) > 90
    assert all(0 <= part <= 255 for track in (-5, 0, 10**15) for part in person_colour(track))


def test_lines_grow_with_the_person():
    shape = (1080, 1920)
    assert line_width(np.array([0, 0, 20, 40.0]), shape) == 1
    assert line_width(np.array([0, 0, 200, 480.0]), shape) == 4
    assert line_width(np.array([0, 0, 600, 1000.0]), shape) == 8
    assert line_width(np.array([0, 0, 1e9, 1e9]), shape) == 16  # no wider than the picture allows
    assert line_width(np.array([np.nan] * 4), shape) == 1
    thin = draw(plain(), [person((100, 10, 200, 230))], PERSON19.joints, Style(boxes=False, ids=False, thickness=1))
    thick = draw(plain(), [person((100, 10, 200, 230))], PERSON19.joints, Style(boxes=False, ids=False, thickness=9))
    assert (thick != 90).sum() > 3 * (thin != 90).sum()


@pytest.mark.parametrize("far", [350.0, -200.0, 1e6, 1e12, 1e300, np.inf, np.nan])
def test_joints_outside_the_picture(far):
    pose = person((100, 10, 200, 230))
    ankle = PERSON19.joints.index("left_ankle")
    pose.keypoints[ankle] = (far, 100)
    image = draw(plain(), [pose], PERSON19.joints)
    assert at(image, pose, "right_ankle") == RIGHT
    pose = Pose(1, np.array([far, 0, far, 10.0]), 0.5, pose.keypoints, pose.confidence)
    draw(plain(), [pose], PERSON19.joints)
    draw(plain(), [Pose(1, np.array([-far, -far, far, far]), 0.5, pose.keypoints, pose.confidence)], PERSON19.joints)


def test_a_limb_may_leave_the_picture():
    pose = person((260, 10, 360, 230))  # the right half of the figure's left side is outside of 320
    image = draw(plain(), [pose], PERSON19.joints, Style(boxes=False, ids=False))
    shoulder, elbow = pose.keypoints[5], pose.keypoints[7]
    assert shoulder[0] > 320 or elbow[0] > 320
    assert (image[:, 310:] != 90).any()


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (16, 16), (64, 48), (3840, 2160)])
def test_any_picture_size(size):
    width, height = size
    image = draw(plain(width, height), [person((0, 0, width, height), 12345)], PERSON19.joints)
    assert image.shape == (height, width, 3)
    assert not np.array_equal(image, plain(width, height))


def test_other_joint_sets():
    pose = person((100, 10, 200, 230), joints=COCO17.joints)
    image = draw(plain(), [pose], COCO17.joints, Style(boxes=False, ids=False))
    assert at(image, pose, "right_elbow", COCO17.joints) == RIGHT
    tail = Pose(1, pose.box, 0.9, np.array([[150.0, 50], [150, 200]]), np.array([0.9, 0.9]))
    image = draw(plain(), [tail], ("tail_root", "tail_tip"), Style(boxes=False, ids=False))
    assert tuple(image[125, 150].tolist()) == (90, 90, 90)  # no bone known between them
