"""What the evaluation warns about, and what it refuses, each in one line that names the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftpcli.errors import FtpError, InputError
from ftpcli.evaluation.files import evaluate_files
from ftpcli.evaluation.report import plain
from ftpcli.skeleton import COCO17
from tests.support.eval_support import as_2017, person, save, video18

NAME = "000001_mpii_test"
Data = dict[str, Any]


def frames(count: int = 3, **options: Any) -> list[list[Data]]:
    return [[person(5 * t, scores=0.9 - t / 10, **options)] for t in range(count)]


def run(folder: Path, truth: Any, predicted: Any, metric: str = "posetrack") -> Data:
    save(folder / "gt", truth)
    save(folder / "pred", predicted)
    return plain(evaluate_files(folder / "gt", folder / "pred", metric))


def warning(report: Data) -> str:
    assert len(report["warnings"]) == 1, report["warnings"]
    return report["warnings"][0]


def test_frames_in_another_order_are_told(tmp_path: Path) -> None:
    predicted = video18(frames())
    predicted["images"].reverse()
    text = warning(run(tmp_path, video18(frames()), predicted))
    assert f"pred/{NAME}.json" in text and "paired by position, 2 of 3 differ" in text
    with pytest.raises(InputError, match=rf"pred/{NAME}.json: image id \d+ stands where"):
        evaluate_files(tmp_path / "gt", tmp_path / "pred", "posetrack21")


def test_another_order_is_told_by_names_in_the_2017_form(tmp_path: Path) -> None:
    predicted = as_2017(video18(frames()))
    predicted["annolist"].reverse()
    assert "paired by position" in warning(run(tmp_path / "a", as_2017(video18(frames())), predicted))
    renamed = as_2017(video18(frames()))
    for i, entry in enumerate(renamed["annolist"]):
        entry["image"][0]["name"] = f"images/bonn/000001_bonn/{i + 1:08d}.jpg"
    assert run(tmp_path / "b", as_2017(video18(frames())), renamed)["warnings"] == []


def test_orphan_annotations_are_told(tmp_path: Path) -> None:
    predicted = video18(frames())
    predicted["annotations"][0]["image_id"] = 5
    text = warning(run(tmp_path, video18(frames()), predicted))
    assert "1 annotations belong to no listed image" in text and "pred/" in text


@pytest.mark.parametrize("scores", [None, []])
def test_missing_scores_are_told(tmp_path: Path, scores: Any) -> None:
    people = [[person(5 * t, scores=None)] for t in range(3)]
    for entries in people:
        if scores is not None:
            entries[0]["scores"] = scores
    report = run(tmp_path, video18(frames()), video18(people))
    assert "3 people have joints without a score, which count with -9999" in warning(report)
    assert report["AP"]["groups"]["Mean"] == 100
    if scores == []:
        with pytest.raises(InputError, match="empty 'scores' list"):
            evaluate_files(tmp_path / "gt", tmp_path / "pred", "posetrack21")


@pytest.mark.parametrize(("metric", "form"), [("posetrack", "17"), ("posetrack", "18"), ("posetrack21", "18")])
def test_missing_track_ids_leave_ap_and_take_tracking(tmp_path: Path, metric: str, form: str) -> None:
    predicted = video18(frames(track=None))
    if form == "17":
        predicted = as_2017(predicted)
    report = run(tmp_path, video18(frames()), predicted, metric)
    assert "3 people lack a track_id" in warning(report)
    section = "MOT" if metric == "posetrack" else "HOTA"
    assert report[section] is None and "lacks track ids" in report[f"{section}_error"]
    assert (report["AP"].get("groups") or report["AP"]["map"])["Head"] == 100


def test_labelled_frames_without_people_are_told(tmp_path: Path) -> None:
    truth = video18([[person()], [], [person()]], is_labeled=[True, True, True])
    predicted = video18([[person(scores=0.9)], [person(scores=0.8)], [person(scores=0.7)]])
    report = run(tmp_path, truth, predicted)
    assert "1 labelled frames have no people" in warning(report) and f"gt/{NAME}.json" in warning(report)
    assert report["frames_evaluated"] == 2 and report["AP"]["precision_mean"] == 100
    crowd = run(tmp_path, truth, predicted, "posetrack21")
    assert any("official PoseTrack21 program stops" in line for line in crowd["warnings"])
    assert crowd["frames_evaluated"] == 3 and crowd["AP"]["precision"]["Total"] == pytest.approx(100 * 2 / 3)


def test_one_frame_video_has_ap_and_no_tracking(tmp_path: Path) -> None:
    report = run(tmp_path, video18(frames(1)), video18(frames(1)))
    assert "only one evaluated frame" in warning(report)
    assert report["MOT"] is None and NAME in report["MOT_error"] and report["AP"]["groups"]["Mean"] == 100


def test_warnings_of_a_kind_are_one_line_for_all_files(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        name = f"{number:06d}_mpii_test"
        save(tmp_path / "gt", video18(frames(1), name), name)
        save(tmp_path / "pred", video18(frames(1), name), name)
    report = evaluate_files(tmp_path / "gt", tmp_path / "pred", "posetrack")
    assert len(report["warnings"]) == 1 and "000001_mpii_test.json and 2 more:" in report["warnings"][0]


def test_only_the_first_video_of_a_file_is_read(tmp_path: Path) -> None:
    def merged() -> Data:
        first, second = video18(frames()), video18(frames(2), "000002_mpii_test")
        return {key: first[key] + second[key] if key != "categories" else first[key] for key in first}

    report = run(tmp_path, merged(), merged())
    assert report["frames_evaluated"] == 3
    assert "holds several videos" in report["warnings"][0]


@pytest.mark.parametrize(
    ("places", "first", "tracked", "told"),
    [
        ([[0, 1, 2], [1, 2], [0, 1, 2]], 0, False, True),  # the first is hidden, and the others get the ids before
        ([[0, 1], [1], [0, 1], [1]], 1, False, True),
        ([[0, 1], [0], [0, 1], [0], [0, 1]], 1, True, False),  # the last is hidden twice
        ([[0, 1, 2], [1, 2], [0, 1, 2]], 0, True, False),
        ([[0], [], [0], [1]], 0, True, False),
    ],
)
def test_ids_that_count_the_people_of_a_frame_are_told(
    tmp_path: Path, places: list[list[int]], first: int, tracked: bool, told: bool
) -> None:
    """Files of estimates without tracks have such."""
    video = video18(
        [
            [person(300 * place, 0, (place if tracked else n) + first) for n, place in enumerate(people)]
            for people in places
        ]
    )
    warned = any("track ids count the people of each frame" in line for line in run(tmp_path, video, video)["warnings"])
    assert warned is told


def test_track_ids_twice_in_a_frame(tmp_path: Path) -> None:
    twice, once = video18([[person(), person(300)]]), video18([[person(), person(300, 0, 1)]])
    with pytest.raises(InputError, match=rf"pred/{NAME}.json: track_id 0 occurs twice in images/val"):
        run(tmp_path, once, twice)
    report = run(tmp_path, twice, once)
    assert report["MOT"] is None and any("occurs twice" in line for line in report["warnings"])
    with pytest.raises(InputError, match=r"gt/.*occurs twice"):
        evaluate_files(tmp_path / "gt", tmp_path / "pred", "posetrack21")


def test_results_do_not_hang_on_the_order_of_files(tmp_path: Path) -> None:
    """The official listing is unsorted; renaming the videos' files changes nothing (B7)."""
    for folder, names in (("a", ("000001", "000002")), ("b", ("000009", "000003"))):
        for k, number in enumerate(names):
            truth, predicted = frames(3 + k), [[person(8 * t * k, scores=0.8 - t / 9 - k / 50)] for t in range(3 + k)]
            save(tmp_path / folder / "gt", video18(truth, f"{number}_mpii_test"), f"{number}_mpii_test")
            save(tmp_path / folder / "pred", video18(predicted, f"{number}_mpii_test"), f"{number}_mpii_test")
    reports = [evaluate_files(tmp_path / f / "gt", tmp_path / f / "pred", "posetrack") for f in "ab"]
    assert reports[0]["AP"] == reports[1]["AP"] and reports[0]["MOT"] == reports[1]["MOT"]
    assert reports[0]["AP"]["groups"]["Mean"] < 100


def _eyes(data: Data) -> None:
    data["categories"][0]["keypoints"] = list(COCO17.joints)


def _drop(key: str) -> Callable[[Data], None]:
    return lambda data: data.pop(key)


def _drop_field(group: str, key: str) -> Callable[[Data], None]:
    return lambda data: data[group][0].pop(key)


def _set(group: str, key: str, value: Any) -> Callable[[Data], None]:
    return lambda data: data[group][0].__setitem__(key, value)


WRONG: list[tuple[str, Callable[[Data], None], str]] = [
    ("pred", _eyes, "COCO's eyes where PoseTrack needs head_bottom and head_top"),
    ("pred", _drop("images"), "lacks 'images'"),
    ("pred", _drop("annotations"), "lacks 'annotations'"),
    ("pred", _drop("categories"), "lacks 'categories'"),
    ("pred", _drop_field("annotations", "image_id"), "annotations entry 1 .*'image_id' is missing"),
    ("pred", _drop_field("images", "id"), "'id' is missing"),
    ("pred", _drop_field("images", "file_name"), "'file_name' is missing"),
    ("gt", _drop_field("annotations", "bbox_head"), "has no head box"),
    ("gt", _set("annotations", "bbox_head", [1, 2, 3]), "'bbox_head' has 3 numbers, expected 4"),
    ("pred", _set("annotations", "keypoints", [1.0] * 50), "50 numbers, which is not a multiple of three"),
    ("pred", _set("annotations", "keypoints", ["x"] * 51), "'keypoints' holds 'x' where a number belongs"),
    ("pred", _set("annotations", "keypoints", [1e999] * 51), "'keypoints' holds Infinity, which is out of range"),
    ("pred", _set("annotations", "scores", [0.5] * 15), "'scores' has 15 numbers, expected 17"),
    ("pred", _set("annotations", "track_id", "left"), "the track id 'left' is text"),
    ("pred", _set("annotations", "track_id", 10000), "track_id 10000 is too large"),
    ("pred", _set("images", "id", [1]), "'id' should be a whole number, not a list of 1"),
    ("pred", lambda data: data["images"].append(data["images"][0]), "stands twice"),
    ("pred", lambda data: data["images"].pop(), "has 2 frames, the annotations 000001_mpii_test.json have 3"),
    ("gt", _set("images", "ignore_regions_x", [[1.0, 2.0]]), "do not fit together"),
    ("gt", lambda data: data.update(annotations=[]), "no frame of the annotations has a person"),
]


@pytest.mark.parametrize(("side", "spoil", "text"), WRONG, ids=[row[2][:40] for row in WRONG])
def test_wrong_files_are_one_clear_line(tmp_path: Path, side: str, spoil: Callable[[Data], None], text: str) -> None:
    data = {"gt": video18(frames()), "pred": video18(frames())}
    spoil(data[side])
    with pytest.raises(FtpError, match=text) as caught:
        run(tmp_path, data["gt"], data["pred"])
    message = str(caught.value)
    assert "\n" not in message and f"{side}/{NAME}.json" in message


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{", "not a whole JSON document"),
        ("[" * 100_000, "nested too deeply"),
        ('{"annolist": NaN}', "'annolist' should be a list, not NaN"),
        ("[1, 2]", "not a PoseTrack file"),
        ("{}", "neither 'annolist' nor 'images'"),
        ('{"annolist": [{"annorect": []}]}', "'image' is missing"),
        ('{"annolist": [{"image": [{"name": "a/1.jpg"}]}]}', "'annorect' is missing"),
        ('{"annolist": [{"image": [{"name": "a/1.jpg"}], "annorect": [3]}]}', "a person should be an object"),
    ],
)
def test_files_that_are_not_what_they_should_be(tmp_path: Path, content: str, text: str) -> None:
    save(tmp_path / "gt", video18(frames()))
    (tmp_path / "pred").mkdir()
    (tmp_path / "pred" / f"{NAME}.json").write_text(content)
    with pytest.raises(InputError, match=text) as caught:
        evaluate_files(tmp_path / "gt", tmp_path / "pred", "posetrack")
    assert "\n" not in str(caught.value) and f"pred/{NAME}.json" in str(caught.value)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    truth, predicted = save(tmp_path / "gt", video18(frames())), tmp_path / "pred"
    with pytest.raises(InputError, match="pred: no such file or folder"):
        evaluate_files(tmp_path / "gt", predicted, "posetrack")
    predicted.mkdir()
    with pytest.raises(InputError, match=rf"pred/{NAME}.json: no prediction file"):
        evaluate_files(tmp_path / "gt", predicted, "posetrack")
    with pytest.raises(InputError, match=r"no .json files"):
        evaluate_files(predicted, predicted, "posetrack")
    (predicted / "000001_mpii.mat").touch()
    with pytest.raises(InputError, match=r"\.mat files are not read"):
        evaluate_files(predicted, predicted, "posetrack")
    with pytest.raises(InputError, match="give both alike"):
        evaluate_files(tmp_path / "gt", truth, "posetrack")


def test_file_against_file_whatever_the_names(tmp_path: Path) -> None:
    truth, predicted = save(tmp_path, video18(frames()), "truth"), save(tmp_path, video18(frames()), "mine")
    assert evaluate_files(truth, predicted, "posetrack")["AP"]["groups"]["Mean"] == 100


def test_posetrack21_refuses_what_its_program_cannot_read(tmp_path: Path) -> None:
    truth = video18(frames())
    with pytest.raises(InputError, match=r"pred/.*reads the 2018 form only"):
        run(tmp_path, truth, as_2017(video18(frames())), "posetrack21")
    fifteen = video18(frames())
    fifteen["categories"][0]["keypoints"] = [j for j in fifteen["categories"][0]["keypoints"] if "ear" not in j]
    with pytest.raises(InputError, match="reads the 17 PoseTrack slots"):
        run(tmp_path, truth, fifteen, "posetrack21")
    eyes = video18(frames())
    _eyes(eyes)
    with pytest.raises(InputError, match="COCO's eyes"):
        run(tmp_path, truth, eyes, "posetrack21")
    no_names = video18(frames())
    del no_names["categories"]
    assert run(tmp_path, truth, no_names, "posetrack21")["AP"]["map"]["Total"] == 100
    del truth["images"][0]["is_labeled"]
    with pytest.raises(InputError, match="lacks 'is_labeled'"):
        run(tmp_path, truth, no_names, "posetrack21")


def test_polygon_of_two_points_is_refused(tmp_path: Path) -> None:
    truth = video18(frames(1), ignore_regions_x=[[[1.0, 2.0]]], ignore_regions_y=[[[1.0, 2.0]]])
    with pytest.raises(InputError, match="has 2 points, 3 are needed"):
        run(tmp_path, truth, video18(frames(1)))


def test_joints_are_read_by_name(tmp_path: Path) -> None:
    """Fifteen names in another order are as good as the 17 slots (A6)."""
    predicted = video18(frames())
    names = predicted["categories"][0]["keypoints"]
    order = [i for i in reversed(range(17)) if "ear" not in names[i]]
    predicted["categories"][0]["keypoints"] = [names[i] for i in order]
    for entry in predicted["annotations"]:
        entry["keypoints"] = [v for i in order for v in entry["keypoints"][3 * i : 3 * i + 3]]
        entry["scores"] = [entry["scores"][i] for i in order]
    assert run(tmp_path, video18(frames()), predicted)["AP"]["groups"]["Mean"] == 100


def test_the_report_is_plain_json(tmp_path: Path) -> None:
    report = run(tmp_path, video18(frames(without=("nose",))), video18(frames()))
    assert json.loads(json.dumps(report, allow_nan=False))["AP"]["per_joint"]["nose"] is None
