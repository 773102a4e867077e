"""PoseTrack figures of small files whose results can be told by hand (specification B1 to B5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ftpcli.evaluation.files import evaluate_files
from ftpcli.evaluation.report import plain
from ftpcli.skeleton import POSETRACK15
from tests.support.eval_support import FIGURE, as_2017, person, save, video18

Frames = list[list[dict[str, Any]]]
#: Half a head size of the test figure: the farthest hit.
REACH = 9.0


def evaluate(folder: Path, truth: Any, predicted: Any, metric: str = "posetrack") -> dict[str, Any]:
    if isinstance(truth, list):
        truth = video18(truth)
    if isinstance(predicted, list):
        predicted = video18(predicted)
    save(folder / "gt", truth)
    save(folder / "pred", predicted)
    return plain(evaluate_files(folder / "gt", folder / "pred", metric))


def test_perfect_predictions(tmp_path: Path) -> None:
    frames = [[person(10 * t, 0, 0, scores=0.9 - t / 100), person(300, 0, 1, scores=0.5 - t / 100)] for t in range(4)]
    report = evaluate(tmp_path, frames, frames)
    assert report["frames_evaluated"] == 4
    assert set(report["AP"]["per_joint"]) == set(POSETRACK15.joints)
    assert all(value == 100 for value in report["AP"]["per_joint"].values())
    assert list(report["AP"]["groups"]) == ["Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Mean"]
    for name in ("MOTA", "MOTP", "precision", "recall"):
        assert report["MOT"][name]["mean"] == 100
    assert report["warnings"] == []
    tracking = evaluate(tmp_path / "21", frames, frames, "posetrack21")
    assert all(tracking["HOTA"][name]["total"] == 100 for name in ("HOTA", "DetA", "AssA", "LocA", "FragA", "FA-HOTA"))
    assert tracking["AP"]["map"]["Total"] == 100


@pytest.mark.parametrize(("shift", "ap"), [(REACH, 100.0), (REACH + 1e-6, 0.0)])
def test_a_hit_reaches_half_a_head_size_and_no_further(tmp_path: Path, shift: float, ap: float) -> None:
    predicted = [[person(shift={"nose": (shift, 0.0)})]]
    assert evaluate(tmp_path, [[person()]], predicted)["AP"]["per_joint"]["nose"] == ap


def test_scores_play_no_part_in_who_is_matched(tmp_path: Path) -> None:
    """The worse placed duplicate with the higher score is the false positive, ahead of the true one (B2)."""
    worse = person(track=1, scores=0.9, shift={"left_knee": (50.0, 0.0)})
    better = person(track=0, scores=0.2)
    report = evaluate(tmp_path, [[person()]], [[worse, better]])
    assert report["AP"]["per_joint"]["nose"] == pytest.approx(50)
    assert report["AP"]["precision_per_joint"]["nose"] == pytest.approx(50)
    assert report["AP"]["recall_per_joint"]["nose"] == 100


def test_a_prediction_that_loses_its_best_person_gets_no_other(tmp_path: Path) -> None:
    """Both predictions fit the left person best; the second one is not given to the right person (B2)."""
    left, right = person(0, 0, 0), person(12, 0, 1)
    exact, between = person(0, 0, 0, scores=0.9), person(5, 0, 1, scores=0.8)
    report = evaluate(tmp_path, [[left, right]], [[exact, between]])
    assert report["AP"]["per_joint"]["nose"] == pytest.approx(50)  # one of two found; the other joint is false
    assert report["AP"]["precision_per_joint"]["nose"] == pytest.approx(50)


def test_predicted_joint_that_is_not_annotated_is_false(tmp_path: Path) -> None:
    """Predicting all 15 joints costs AP wherever the joint is not annotated (B7)."""
    truth = [[person(without=("left_wrist",))], [person()]]
    predicted = [[person(scores=0.9)], [person(scores=0.8)]]
    per_joint = evaluate(tmp_path, truth, predicted)["AP"]["per_joint"]
    assert per_joint["left_wrist"] == pytest.approx(50)
    assert per_joint["right_wrist"] == 100


def test_joints_without_predictions_and_without_annotations(tmp_path: Path) -> None:
    never = ("left_ankle", "nose")
    truth = [[person(without=(*never, "right_ankle"))]]
    predicted = [[person(without=("left_ankle", "right_elbow"))]]
    ap = evaluate(tmp_path, truth, predicted)["AP"]
    # Neither predicted nor annotated, and annotated but not predicted: 0. Predicted but not annotated: no number.
    assert ap["per_joint"]["left_ankle"] == 0 and ap["per_joint"]["right_elbow"] == 0
    assert ap["per_joint"]["nose"] is None and ap["recall_per_joint"]["nose"] is None
    assert ap["precision_per_joint"]["nose"] == 0
    assert ap["groups"]["Head"] is None and ap["groups"]["Ankle"] is None and ap["groups"]["Knee"] == 100
    assert ap["groups"]["Mean"] == pytest.approx(100 * 11 / 13)
    crowd = evaluate(tmp_path / "21", truth, predicted, "posetrack21")["AP"]
    assert crowd["per_joint"]["nose"] == 0 and crowd["map"]["Total"] == pytest.approx(100 * 11 / 15)


def test_mean_is_over_joints_not_over_columns(tmp_path: Path) -> None:
    predicted = [[person(without=("nose", "head_top", "head_bottom"))]]
    groups = evaluate(tmp_path, [[person()]], predicted)["AP"]["groups"]
    assert groups["Mean"] == pytest.approx(100 * 12 / 15)


def test_equal_scores_rank_the_later_entry_first_and_are_flagged(tmp_path: Path) -> None:
    false, true = person(500, 0, 1, scores=0.5), person(0, 0, 0, scores=0.5)
    later = evaluate(tmp_path / "a", [[person()]], [[false, true]])
    assert later["AP"]["per_joint"]["nose"] == 100
    assert evaluate(tmp_path / "b", [[person()]], [[true, false]])["AP"]["per_joint"]["nose"] == pytest.approx(50)
    assert "repeat another" in later["warnings"][0] and "pred/000001_mpii_test.json" in later["warnings"][0]


def test_frames_without_people_do_not_count_but_frames_without_joints_do(tmp_path: Path) -> None:
    false = [person(500, 0, 1, scores=0.95)]
    truth: Frames = [[person()], [], [person(only=())], [person()]]
    predicted: Frames = [[person(scores=0.9)], false, false, [person(scores=0.8)]]
    report = evaluate(tmp_path, truth, predicted)
    assert report["frames_evaluated"] == 3
    assert report["AP"]["precision_per_joint"]["nose"] == pytest.approx(100 * 2 / 3)
    # 2017: the person without a joint goes, the frame stays (B1.3).
    old = as_2017(video18(truth))
    old["annolist"][2]["annorect"][0]["annopoints"] = []
    again = evaluate(tmp_path / "17", old, predicted)
    assert again["frames_evaluated"] == 3
    assert again["AP"] == report["AP"]


def test_jointless_people_count_as_people_in_2018_and_not_in_2017(tmp_path: Path) -> None:
    """With nobody on one side each joint kind gets one miss, one false positive and one object (B4)."""
    truth: Frames = [[person(only=())], [person()], [person()]]
    predicted: Frames = [[person()], [person()], [person()]]
    new = evaluate(tmp_path / "18", truth, predicted)["MOT"]
    assert new["MOTA"]["mean"] == pytest.approx(100 * (1 - 1 / 1))  # one false positive, one object
    assert new["recall"]["mean"] == 100
    old = as_2017(video18(truth))
    old["annolist"][0]["annorect"][0]["annopoints"] = []
    quirk = evaluate(tmp_path / "17", old, predicted)["MOT"]
    assert quirk["MOTA"]["mean"] == pytest.approx(100 * (1 - 2 / 2))
    assert quirk["recall"]["mean"] == pytest.approx(50)


def test_empty_prediction_frame_costs_two_errors_and_one_object(tmp_path: Path) -> None:
    truth = [[person(), person(200, 0, 1), person(400, 0, 2)] for _ in range(3)]
    predicted: Frames = [truth[0], [], truth[2]]
    report = evaluate(tmp_path, truth, predicted)
    assert report["MOT"]["MOTA"]["mean"] == pytest.approx(100 * (1 - 2 / 4))  # the last frame is left out
    assert report["AP"]["recall_mean"] == pytest.approx(100 * 6 / 9)


def test_last_frame_is_left_out_of_tracking(tmp_path: Path) -> None:
    truth = [[person()] for _ in range(3)]
    predicted: Frames = [[person()], [person()], [person(500, 500)]]
    report = evaluate(tmp_path, truth, predicted)
    assert report["MOT"]["MOTA"]["mean"] == 100
    assert report["AP"]["precision_mean"] == pytest.approx(100 * 2 / 3)


def test_switches_remember_the_last_match_however_long_ago(tmp_path: Path) -> None:
    truth = [[person()] for _ in range(6)]
    predicted: Frames = [
        [person(track=1)],
        [person(900, 0, 3)],
        [person(track=2)],
        [person(track=2)],
        [person(track=1)],
    ]
    predicted.append([person(track=1)])
    # Matches in frames 0, 2, 3, 4; a miss and a false positive in frame 1; switches in frames 2 and 4.
    mot = evaluate(tmp_path, truth, predicted)["MOT"]
    assert mot["MOTA"]["mean"] == pytest.approx(100 * (1 - (1 + 2 + 1) / 5))
    assert mot["recall"]["mean"] == pytest.approx(80) and mot["precision"]["mean"] == pytest.approx(80)


def test_an_old_match_is_kept_while_admissible_even_if_another_is_nearer(tmp_path: Path) -> None:
    truth = [[person()] for _ in range(3)]
    near, far = person(1, 0, 7), person(6, 0, 5)
    predicted: Frames = [[person(0, 0, 5)], [near, far], [person()]]
    mot = evaluate(tmp_path, truth, predicted)["MOT"]
    # No switch; the nearer prediction is false. MOTP holds the distances of matches only: 0 and 6 of head size 18.
    assert mot["MOTA"]["mean"] == pytest.approx(100 * (1 - 1 / 2))
    assert mot["MOTP"]["mean"] == pytest.approx(100 * (1 - (0 + 6 / 18) / 2))


def test_as_many_pairs_as_possible_before_the_least_distance(tmp_path: Path) -> None:
    """Person 0 is nearest to prediction 0, which alone can serve person 1."""
    truth: Frames = [[person(0, 0, 0), person(8, 0, 1)], [person()]]
    predicted: Frames = [[person(3, 0, 0), person(-8.5, 0, 1)], [person()]]
    mot = evaluate(tmp_path, truth, predicted)["MOT"]
    assert mot["recall"]["mean"] == 100
    assert mot["MOTP"]["mean"] == pytest.approx(100 * (1 - (8.5 + 5) / 18 / 2))


def test_a_joint_never_found_has_motp_zero_and_counts_in_the_mean(tmp_path: Path) -> None:
    truth = [[person()] for _ in range(3)]
    predicted = [[person(without=("nose",))] for _ in range(3)]
    mot = evaluate(tmp_path, truth, predicted)["MOT"]
    assert mot["MOTP"]["per_joint"]["nose"] == 0 and mot["MOTP"]["mean"] == pytest.approx(100 * 14 / 15)
    assert mot["precision"]["per_joint"]["nose"] is None and mot["precision"]["mean"] == 100


def test_track_ids_of_videos_do_not_meet(tmp_path: Path) -> None:
    for number in (1, 2):
        name = f"{number:06d}_mpii_test"
        save(tmp_path / "gt", video18([[person()], [person()]], name), name)
        save(tmp_path / "pred", video18([[person(track=number)], [person(track=number)]], name), name)
    report = plain(evaluate_files(tmp_path / "gt", tmp_path / "pred", "posetrack"))
    assert report["MOT"]["MOTA"]["mean"] == 100


REGION = {"ignore_regions_x": [[-50.0, 30.0, 30.0, -50.0]], "ignore_regions_y": [[-50.0, -50.0, 300.0, 300.0]]}


def test_ignore_regions_take_joints_of_both_sides_strictly_inside(tmp_path: Path) -> None:
    """The region's right edge is x = 30: right limbs are inside, nose and neck on the border, left limbs outside."""
    regions = {key: [value] for key, value in REGION.items()}
    inside = ("right_knee", "right_wrist")
    truth, predicted = [[person(without=("left_knee",))]], [[person(shift={joint: (-20.0, 0.0) for joint in inside})]]
    report = evaluate(tmp_path, video18(truth, **regions), video18(predicted))
    assert report["AP"]["per_joint"]["right_knee"] == 0 and report["AP"]["precision_per_joint"]["right_knee"] == 0
    assert report["AP"]["per_joint"]["nose"] == 100 and report["AP"]["recall_per_joint"]["left_hip"] == 100
    assert report["AP"]["per_joint"]["left_knee"] is None  # outside the region: still a false positive


def test_people_wholly_in_a_region_go_and_the_frame_stays(tmp_path: Path) -> None:
    wide = {"ignore_regions_x": [[[-5.0, 100.0, 100.0, -5.0]]], "ignore_regions_y": [[[-5.0, -5.0, 300.0, 300.0]]]}
    truth = video18([[person()]], **wide)
    report = evaluate(tmp_path, truth, [[person(), person(400, 0, 1)]])
    assert report["frames_evaluated"] == 1
    assert report["AP"]["per_joint"]["nose"] is None and report["AP"]["precision_per_joint"]["nose"] == 0


@pytest.mark.parametrize("forms", ["17-17", "18-17", "17-18"])
def test_forms_may_be_mixed(tmp_path: Path, forms: str) -> None:
    regions = {key: [None, None, value, None] for key, value in REGION.items()}
    truth = video18([[person(0, 0, 0), person(60 + 9 * t, 0, 1)] for t in range(4)], **regions)
    shift = {joint: (3.0 * i % 14, 0.0) for i, joint in enumerate(FIGURE)}
    predicted = video18([[person(5 * t, 0, t % 2, shift=shift, scores=0.3 + t / 9)] for t in range(4)])
    expected = evaluate(tmp_path / "a", truth, predicted)
    first, second = forms.split("-")
    pair = (as_2017(truth) if first == "17" else truth, as_2017(predicted) if second == "17" else predicted)
    found = evaluate(tmp_path / "b", *pair)
    assert found["AP"] == expected["AP"] and found["MOT"] == expected["MOT"]
    assert 0 < expected["AP"]["groups"]["Mean"] < 100


def test_dcpose_style_placeholder_is_a_false_right_ankle(tmp_path: Path) -> None:
    predicted = as_2017(video18([[person(scores=0.9)], []]))
    predicted["annolist"][1]["image"] = predicted["annolist"][1]["image"][0]  # a plain object, also theirs
    point = {"id": [0], "x": [0], "y": [0], "score": [-100.0]}
    predicted["annolist"][1]["annorect"] = [{"track_id": [0], "annopoints": [{"point": [point]}]}]
    ap = evaluate(tmp_path, [[person()], [person(without=("right_ankle",))]], predicted)["AP"]
    assert ap["per_joint"]["right_ankle"] == 100 and ap["precision_per_joint"]["right_ankle"] == 50


def test_zero_head_box_gives_no_hits_and_no_crash(tmp_path: Path) -> None:
    report = evaluate(tmp_path, [[person(head=(10, 10, 0, 0))]], [[person()]])
    assert report["AP"]["groups"]["Mean"] == 0


def test_a_joint_is_absent_only_if_x_y_and_v_are_zero(tmp_path: Path) -> None:
    """v = 0 with a position counts, v = 1 at (0, 0) counts (A6); PoseTrack21 asks for x > 0 and y > 0 (B5)."""
    entry = person(without=("nose", "left_wrist"))
    corner, unseen = dict(entry), dict(entry)
    corner["keypoints"] = [*entry["keypoints"]]
    corner["keypoints"][0:3] = [0.0, 0.0, 1.0]  # the nose's slot
    ap = evaluate(tmp_path / "a", [[person()]], [[corner]])["AP"]
    assert ap["precision_per_joint"]["nose"] == 0 and ap["per_joint"]["nose"] == 0
    unseen["keypoints"] = [0.0 if i % 3 == 2 else v for i, v in enumerate(person()["keypoints"])]
    assert evaluate(tmp_path / "b", [[person()]], [[unseen]])["AP"]["groups"]["Mean"] == 100
    # head_top stands at (30, 2): moved up to y = 0 it is lost for PoseTrack21, on both sides.
    at_border = [[person(0, -2)]]
    assert evaluate(tmp_path / "c", at_border, at_border)["AP"]["per_joint"]["head_top"] == 100
    lost = evaluate(tmp_path / "d", at_border, at_border, "posetrack21")["AP"]
    assert lost["per_joint"]["head_top"] == 0 and lost["per_joint"]["nose"] == 100


def test_ears_are_never_scored(tmp_path: Path) -> None:
    entry = person()
    entry["keypoints"] = [*entry["keypoints"]]
    entry["keypoints"][9:15] = [500.0, 500.0, 1.0, 600.0, 600.0, 1.0]
    report = evaluate(tmp_path, [[person()]], [[entry]])
    assert report["AP"]["groups"]["Mean"] == 100 and report["AP"]["precision_mean"] == 100
    assert not any("ear" in joint for joint in report["AP"]["per_joint"])


def test_posetrack21_looks_at_labelled_frames_only(tmp_path: Path) -> None:
    frames = [[person(track=0)], [person(only=())], [person(track=0)]]
    truth = video18(frames, is_labeled=[True, False, True], has_labeled_person=[True, True, True])
    predicted = video18([[person(scores=0.9)], [person(500, 0, scores=0.95)], [person(scores=0.8)]])
    report = evaluate(tmp_path, truth, predicted, "posetrack21")
    assert report["frames_evaluated"] == 2 and report["AP"]["map"]["Total"] == 100
    # poseval must have those frames filtered first (A5), and says so.
    filtered = evaluate(tmp_path / "b", truth, predicted, "posetrack")
    assert filtered["frames_evaluated"] == 2 and filtered["AP"]["groups"]["Mean"] == 100
    assert any("boxes but no labelled poses" in line for line in filtered["warnings"])
    # Without 2021's mark the flag is ignored, as poseval does.
    for image in truth["images"]:
        del image["has_labeled_person"]
    kept = evaluate(tmp_path / "c", truth, predicted, "posetrack")
    assert kept["frames_evaluated"] == 3 and kept["AP"]["precision_mean"] == pytest.approx(100 * 2 / 3)


def test_posetrack21_cuts_scores_of_whole_number_frames(tmp_path: Path) -> None:
    """A true joint at 0.9 loses its lead over a false one at 0.5 in another frame once its score is cut to 0."""
    truth = [[person()], [person()]]
    whole = person(scores=0.9)
    whole["keypoints"] = [int(v) for v in whole["keypoints"]]
    false = person(500, 0, scores=0.5)
    floats = evaluate(tmp_path / "a", truth, [[person(scores=0.9)], [false]], "posetrack21")
    cut = evaluate(tmp_path / "b", truth, [[whole], [false]], "posetrack21")
    assert floats["AP"]["map"]["Total"] == pytest.approx(50) and cut["AP"]["map"]["Total"] == pytest.approx(25)
    assert any("write floats" in line for line in cut["warnings"])
    assert evaluate(tmp_path / "c", truth, [[whole], [false]])["AP"]["groups"]["Mean"] == pytest.approx(50)


def test_hota_of_an_identity_switch(tmp_path: Path) -> None:
    truth = [[person()] for _ in range(10)]
    predicted = [[person(track=1 if t < 5 else 2)] for t in range(10)]
    fields = evaluate(tmp_path, truth, predicted, "posetrack21")["HOTA"]
    expected = {"DetA": 100, "AssA": 50, "AssRe": 50, "AssPr": 100, "FragA": 50, "LocA": 100, "HOTA": 50**0.5 * 10}
    assert {name: fields[name]["total"] for name in expected} == pytest.approx(expected)
    assert fields["FA-HOTA"]["total"] == pytest.approx(100 * 0.5**0.5)


def test_fragments_end_by_another_match_not_by_a_gap(tmp_path: Path) -> None:
    truth = [[person()] for _ in range(6)]
    away = person(500, 0, 1)
    gap = [[person(track=1)], [person(track=1)], [away], [away], [person(track=1)], [person(track=1)]]
    fields = evaluate(tmp_path, truth, gap, "posetrack21")["HOTA"]
    union = 6 + 6 - 4
    assert fields["FragA"]["total"] == pytest.approx(100 * 16 / union / 4)
    assert fields["AssA"]["total"] == pytest.approx(100 * 4 / union)


def test_hota_counts_the_whole_video_for_a_frame_without_predictions(tmp_path: Path) -> None:
    truth = [[person(), person(300, 0, 1)] for _ in range(3)]
    predicted: Frames = [truth[0], [], truth[2]]
    fields = evaluate(tmp_path, truth, predicted, "posetrack21")["HOTA"]
    assert fields["HOTA_TP"]["per_alpha_total"][0] == 4 * 15
    assert fields["HOTA_FN"]["per_alpha_total"][0] == 6 * 15  # not the two people of the frame
    assert fields["DetRe"]["per_joint"]["nose"] == pytest.approx(40)


def test_hota_of_a_video_without_predictions(tmp_path: Path) -> None:
    truth = [[person()] for _ in range(3)]
    fields = evaluate(tmp_path, truth, [[], [], []], "posetrack21")["HOTA"]
    assert fields["HOTA_FN"]["per_alpha_total"] == [45.0] * 19
    assert fields["HOTA"]["total"] == 0 and fields["LocA"]["per_joint"]["nose"] == 100


def test_hota_falls_with_distance_by_thresholds(tmp_path: Path) -> None:
    """A quarter head size away is a similarity of 0.5001: a match at the ten thresholds up to 0.5."""
    fields = evaluate(tmp_path, [[person()]] * 2, [[person(4.5)]] * 2, "posetrack21")["HOTA"]
    assert fields["DetA"]["total"] == pytest.approx(100 * 10 / 19)
    assert fields["LocA"]["per_joint"]["nose"] == pytest.approx(100 * (10 * (1 - 0.25 / 0.5001) + 9) / 19)
