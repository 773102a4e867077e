"""A joint that lies on another person loses confidence; one that is nobody else's, or in its own box, keeps it."""

from __future__ import annotations

import numpy as np
import pytest

from ftpcli.pose.claims import settle_claims
from ftpcli.records import Pose
from ftpcli.skeleton import PERSON19

JOINTS = list(PERSON19.joints)
KNEE, OTHER_KNEE, WRIST = (JOINTS.index(name) for name in ("left_knee", "right_knee", "left_wrist"))


def person(track: int, left: float, width: float = 100) -> Pose:
    """Joints in a column in the middle of the box, 200 high."""
    places = np.column_stack([np.full(len(JOINTS), left + width / 2), np.linspace(10, 190, len(JOINTS))])
    box = np.array([left, 0.0, left + width, 200.0])
    return Pose(track, box, 0.9, places, np.full(len(JOINTS), 0.8))


def test_a_joint_on_anothers_is_the_others() -> None:
    cut_off, whole = person(1, 0, width=20), person(2, 10)
    cut_off.keypoints[KNEE] = whole.keypoints[KNEE]
    cut_off.keypoints[OTHER_KNEE] = whole.keypoints[KNEE]  # whichever side it was taken for
    cut_off.keypoints[WRIST] = whole.keypoints[KNEE]  # another joint: a hand may be on a knee
    first, second = settle_claims([cut_off, whole], PERSON19)
    assert first.confidence[KNEE] == first.confidence[OTHER_KNEE] == 0
    assert np.delete(first.confidence, [KNEE, OTHER_KNEE]) == pytest.approx(0.8, abs=0.06)
    assert np.array_equal(first.keypoints, cut_off.keypoints) and np.array_equal(second.confidence, whole.confidence)


def test_the_farther_away_the_less_is_taken() -> None:
    whole, left = person(2, 10), []
    for distance in (0, 5, 10, 60):
        other = person(1, 0, width=20)
        other.keypoints[KNEE] = whole.keypoints[KNEE] + (distance, 0)
        left.append(settle_claims([other, whole], PERSON19)[0].confidence[KNEE])
    assert left == sorted(left) and left[0] == 0 and left[1] < left[2] < 0.5 and left[3] == pytest.approx(0.8, abs=0.02)


def test_how_far_counts_by_the_size_of_whoever_has_the_joint() -> None:
    other, left = person(1, 0, width=20), []
    for width in (100, 400):
        whole = person(2, 10, width=width)
        other.keypoints[KNEE] = whole.keypoints[KNEE] + (8, 0)
        left.append(settle_claims([other, whole], PERSON19)[0].confidence[KNEE])
    assert 0 < left[1] < left[0] / 2 and left[0] < 0.7


def test_what_gives_no_right_to_a_joint() -> None:
    """Its own box, a place outside the other's, and another who is far less sure."""
    whole = person(2, 10)
    own = person(1, 10)  # right on the other: both have it
    beyond = person(1, 300)
    beyond.keypoints[KNEE] = (200.0, 100.0)
    doubtful = person(3, 10)
    doubtful.keypoints[KNEE], doubtful.confidence[KNEE] = (200.0, 100.0), 0.8
    for pose, other in ((own, whole), (beyond, doubtful)):
        np.testing.assert_allclose(settle_claims([pose, other], PERSON19)[0].confidence, pose.confidence, atol=1e-6)
    unsure = person(2, 10)
    unsure.confidence[[KNEE, OTHER_KNEE]] = 0.39
    cut_off = person(1, 0, width=20)
    cut_off.keypoints[KNEE] = unsure.keypoints[KNEE]
    assert settle_claims([cut_off, unsure], PERSON19)[0].confidence[KNEE] == pytest.approx(0.8, abs=0.05)
    unsure.confidence[KNEE] = 0.41
    assert settle_claims([cut_off, unsure], PERSON19)[0].confidence[KNEE] == 0
    assert settle_claims([cut_off], PERSON19) == (cut_off,) and settle_claims([], PERSON19) == ()
