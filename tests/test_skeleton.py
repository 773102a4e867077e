"""Angles between bones."""

from __future__ import annotations

import numpy as np
import pytest

from ftpcli.skeleton import ANGLES, COCO17, POSETRACK17, joint_angles

PLACES = {
    "left_shoulder": (10.0, 0.0),
    "right_shoulder": (0.0, 0.0),
    "left_hip": (10.0, 20.0),
    "right_hip": (0.0, 20.0),
    "left_knee": (10.0, 30.0),
    "left_ankle": (20.0, 30.0),  # bent by a right angle
    "right_knee": (0.0, 30.0),
    "right_ankle": (0.0, 40.0),  # straight
    "left_elbow": (20.0, 0.0),  # the arm is stretched out sideways
    "left_wrist": (30.0, 0.0),
}


def posed(joints: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    points = np.array([PLACES.get(joint, (0.0, 0.0)) for joint in joints])
    return points, np.array([float(joint in PLACES) for joint in joints])


@pytest.mark.parametrize("skeleton", [COCO17, POSETRACK17], ids=lambda one: one.name)
def test_angles_of_a_figure(skeleton) -> None:
    points, confidence = posed(skeleton.joints)
    found = dict(zip(ANGLES, joint_angles(skeleton.joints, points, confidence), strict=True))
    assert found["left_knee"] == pytest.approx(90) and found["right_knee"] == pytest.approx(180)
    assert found["left_elbow"] == pytest.approx(180) and found["left_shoulder"] == pytest.approx(90)
    assert found["left_hip"] == pytest.approx(180) and found["trunk"] == pytest.approx(0)
    assert np.isnan([found["right_elbow"], found["right_shoulder"]]).all()  # the arm is not there


def test_the_trunk_leans_to_the_right_of_the_picture() -> None:
    points, confidence = posed(COCO17.joints)
    for side in ("left", "right"):
        points[COCO17.joints.index(f"{side}_shoulder")] += 20, 0
    many = joint_angles(COCO17.joints, np.stack([points, points]), np.stack([confidence, confidence * 0.2]))
    assert many.shape == (2, len(ANGLES)) and many[0, -1] == pytest.approx(45) and np.isnan(many[1]).all()


def test_joints_in_one_place_have_no_angle() -> None:
    points, confidence = np.zeros((17, 2)), np.ones(17)
    assert np.isnan(joint_angles(COCO17.joints, points, confidence)).all()
    assert np.isnan(joint_angles(("nose",), points[:1], confidence[:1])).all()
