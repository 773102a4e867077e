"""PCK, torso lengths and jitter of positions that can be told by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ftpcli.evaluation.pck import exchanged, jitter, pck, reliability, torso_lengths
from ftpcli.skeleton import BODY12, PERSON19

JOINTS = PERSON19.joints
AT = {joint: i for i, joint in enumerate(JOINTS)}


def people(count: int = 2) -> np.ndarray:
    """(N, 19, 2): left shoulder to right hip is 50 px, right shoulder to left hip 40 px."""
    points = np.tile(np.arange(19, dtype=float)[:, None] * 7, (count, 1, 2))
    points[:, AT["left_shoulder"]], points[:, AT["right_hip"]] = (30, 0), (0, 40)
    points[:, AT["right_shoulder"]], points[:, AT["left_hip"]] = (0, 0), (0, 40)
    return points


def test_torso_is_the_longer_labelled_diagonal() -> None:
    points, visible = people(4), np.ones((4, 19), dtype=bool)
    visible[1, AT["left_shoulder"]] = False
    visible[2, AT["left_shoulder"]] = visible[2, AT["left_hip"]] = False
    visible[3, [AT["head_top"], AT["nose"]]] = False
    assert torso_lengths(points, visible, JOINTS).tolist()[:2] == [50, 40]
    assert np.isnan(torso_lengths(points, visible, JOINTS)[2])
    assert torso_lengths(points, visible, JOINTS)[3] == 50


def test_pck_pools_labelled_body_joints() -> None:
    truth, visible = people(3), np.ones((3, 19), dtype=bool)
    found = truth.copy()
    found[0, AT["left_wrist"], 0] += 10.0  # exactly 0.2 of the torso: right
    found[0, AT["left_knee"], 0] += 10.5  # wrong at 0.2, right at 0.5
    found[1, AT["left_ankle"], 0] += 26  # wrong at both
    found[:, AT["nose"]] += 999  # no body joint
    visible[1, [AT["left_elbow"], AT["right_elbow"]]] = False
    found[1, AT["left_elbow"]] += 999  # not labelled
    visible[2, [AT["left_hip"], AT["right_hip"]]] = False  # no diagonal: the person does not count
    found[2] += 999
    result = pck(found, truth, visible, JOINTS, sources=["a", "b", "b"])
    assert set(result) == {"0.1", "0.2", "0.5"}
    assert result["0.2"]["joints"] == 12 + 10 and result["0.2"]["persons"] == 2
    assert result["0.2"]["mean"] == pytest.approx(20 / 22) and result["0.5"]["mean"] == pytest.approx(21 / 22)
    assert list(result["0.2"]["per_joint"]) == sorted(BODY12, key=JOINTS.index)
    assert result["0.2"]["per_joint"]["left_knee"] == pytest.approx(0.5)
    assert result["0.2"]["per_source"] == {"a": pytest.approx(11 / 12), "b": pytest.approx(9 / 10)}


def test_joints_at_the_place_of_the_other_side_are_exchanged() -> None:
    truth, visible = people(4), np.ones((4, 19), dtype=bool)
    for side, sign in (("left", 1), ("right", -1)):
        for part in ("wrist", "knee", "ankle"):
            truth[:, AT[f"{side}_{part}"], 0] += sign * 100
    found = truth.copy()
    left, right = AT["left_wrist"], AT["right_wrist"]
    found[0, [left, right]] = truth[0, [right, left]]  # both
    found[1, left] = truth[1, right]  # the right one is right: two at one place
    found[2, [left, right]] = truth[2, [right, left]]
    visible[2, right] = False  # where it should be is not known
    found[3, [left, right]] = truth[3, right], truth[3, right] + 500
    result = exchanged(found, truth, visible, JOINTS)
    assert result == {"count": 3, "joints": 4 * 12 - 2, "share": pytest.approx(3 / 46)}
    assert np.isnan(exchanged(people(1), people(1), np.zeros((1, 19), dtype=bool), JOINTS)["share"])


def test_pck_of_nobody_is_no_number() -> None:
    result = pck(people(1), people(1), np.zeros((1, 19), dtype=bool), JOINTS)["0.2"]
    assert np.isnan(result["mean"]) and np.isnan(result["per_joint"]["left_knee"]) and result["persons"] == 0


def test_jitter_is_the_second_difference_in_torso_lengths() -> None:
    steady = np.tile(people(1), (6, 1, 1)) + np.arange(6)[:, None, None] * 3.0
    visible, torso = np.ones((6, 19), dtype=bool), np.full(6, 50.0)
    assert jitter([(steady, visible, torso)], JOINTS) == pytest.approx(0)
    shaken = steady.copy()
    shaken[2, AT["left_wrist"]] += (3.0, 4.0)
    # 5 px once off: second differences of 5, 10 and 5 px in one of 12 joints, over 4 frames.
    assert jitter([(shaken, visible, torso)], JOINTS) == pytest.approx((5 + 10 + 5) / 50 / (4 * 12))
    hidden = visible.copy()
    hidden[2, AT["left_wrist"]] = False
    assert jitter([(shaken, hidden, torso)], JOINTS) == pytest.approx(0)


def test_jitter_pools_tracks_and_leaves_out_what_has_no_unit() -> None:
    rng = np.random.default_rng(0)
    visible, torso = np.ones((8, 19), dtype=bool), np.full(8, 50.0)
    shaky = np.tile(people(1), (8, 1, 1)) + rng.normal(0, 2, (8, 19, 2))
    alone = jitter([(shaky, visible, torso)], JOINTS)
    assert alone > 0.05
    nothing = [(shaky, visible, np.full(8, np.nan)), (shaky[:2], visible[:2], torso[:2])]
    assert jitter([(shaky, visible, torso), *nothing], JOINTS) == pytest.approx(alone)
    calm = (np.tile(people(1), (8, 1, 1)), visible, torso)
    assert jitter([(shaky, visible, torso), calm], JOINTS) == pytest.approx(alone / 2)
    assert np.isnan(jitter(nothing, JOINTS))
    # Half as many pixels, or twice the person, is half the jitter.
    assert jitter([(shaky, visible, torso * 2)], JOINTS) == pytest.approx(alone / 2)


def test_reliability_counts_right_joints_by_confidence() -> None:
    truth, visible = people(3), np.ones((3, 19), dtype=bool)
    found, sure = truth.copy(), np.full((3, 19), 0.97)
    sure[0, AT["left_wrist"]], sure[0, AT["left_knee"]] = 0.41, 0.44
    found[0, AT["left_knee"], 0] += 10.5  # beyond 0.2 of the torso
    sure[0, AT["nose"]] = 0.2  # no body joint
    sure[1, AT["left_ankle"]] = 1.0
    found[1, AT["left_ankle"]] += 99
    visible[2, AT["left_hip"]] = visible[2, AT["right_hip"]] = False  # no torso: the person does not count
    rows = reliability(found, sure, truth, visible, JOINTS)
    assert [row["joints"] for row in rows] == [2, 22]
    assert rows[0]["confidence"] == pytest.approx(0.425) and rows[0]["right"] == 0.5
    assert rows[1]["confidence"] == pytest.approx((21 * 0.97 + 1) / 22) and rows[1]["right"] == pytest.approx(21 / 22)
