"""Writing and reading poses files."""

from __future__ import annotations

import json
import math
import re
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ftpcli.datasets.header import encode_run, encode_source
from ftpcli.errors import InputError, OutputError, UsageError
from ftpcli.formats import SINKS, VISIBLE, check_joints, check_output, format_of, open_poses, write_poses
from ftpcli.records import FramePoses, Header, Pose, SourceInfo
from ftpcli.skeleton import COCO17, PERSON19, POSETRACK15, POSETRACK17
from tests.support.formats_samples import READABLE, WRITABLE, assert_same, failing, flat, frames, header

# Half a unit of the third decimal, and the rounding of the sum.
PIXELS = 0.000501
SHARED_JOINTS = [j for j in POSETRACK17.joints if not j.endswith("_ear")]


def write(path: Path, items: list[FramePoses], head: Header | None = None, **options: object) -> Path:
    assert write_poses(path, head or header(), iter(items), **options) == len(items)  # type: ignore[arg-type]
    return path


def read(path: Path) -> list[FramePoses]:
    with open_poses(path) as reader:
        return list(reader)


def by_name(poses: list[FramePoses], names: tuple[str, ...], wanted: list[str]) -> list[FramePoses]:
    at = [names.index(name) for name in wanted]
    return [
        FramePoses(
            f.index,
            f.pts,
            f.seconds,
            tuple(Pose(p.track_id, p.box, p.score, p.keypoints[at], p.confidence[at]) for p in f.poses),
        )
        for f in poses
    ]


@pytest.mark.parametrize("name", ["a.jsonl", "a.coco.json", "a.posetrack.json"])
def test_people_whose_box_was_filled_in_are_marked_and_the_others_are_not(tmp_path: Path, name: str) -> None:
    items = frames(8)
    marked = [
        replace(f, poses=tuple(replace(p, filled=(f.index + n) % 2 == 0) for n, p in enumerate(f.poses))) for f in items
    ]
    form = {"a.coco.json": "coco", "a.posetrack.json": "posetrack"}.get(name, "jsonl")
    path = write(tmp_path / name, marked, format=form)
    wanted = [{p.track_id: p.filled for p in f.poses} for f in marked]
    assert [{p.track_id: p.filled for p in f.poses} for f in read(path)] == wanted
    count = sum(filled for f in wanted for filled in f.values())
    assert 0 < count < sum(map(len, wanted)) and path.read_text().replace(" ", "").count('"filled":true') == count
    assert "filled" not in write(tmp_path / f"plain_{name}", items, format=form).read_text()


# --- native -------------------------------------------------------------------------------------------------------


def test_native_has_a_header_and_exactly_one_record_per_frame(tmp_path: Path) -> None:
    items = frames(12)
    lines = write(tmp_path / "a.jsonl", items).read_text().splitlines()
    assert len(lines) == 13
    head = json.loads(lines[0])
    assert (head["format"], head["format_version"], head["records"]) == ("ftp-poses", 1, 12)
    assert head["joints"] == list(PERSON19.joints)
    assert ["left_knee", "left_hip"] in head["skeleton"] or ["left_hip", "left_knee"] in head["skeleton"]
    assert len(head["sigmas"]) == 19
    assert head["source"] == encode_source(header().source) and head["run"] == encode_run(header().run)
    for line, item in zip(lines[1:], items, strict=True):
        record = json.loads(line)
        assert list(record) == ["index", "pts", "seconds", "people"]
        assert (record["index"], record["pts"], record["seconds"]) == (item.index, item.pts, item.seconds)
        for person, p in zip(record["people"], item.poses, strict=True):
            assert list(person) == ["track_id", "bbox", "score", "keypoints"]
            x1, y1, x2, y2 = p.box
            np.testing.assert_allclose(person["bbox"], [x1, y1, x2 - x1, y2 - y1], atol=PIXELS)
            assert len(person["keypoints"]) == 19 and all(len(row) == 3 for row in person["keypoints"])


def test_native_round_trip_keeps_all_but_the_fourth_decimal_of_pixels(tmp_path: Path) -> None:
    items = frames(40)
    path = write(tmp_path / "a.jsonl", items)
    with open_poses(path) as reader:
        assert reader.header == header() and reader.format == "jsonl" and reader.records == 40 and reader.timed
        first = list(reader)
        assert [flat(f) for f in reader] == [flat(f) for f in first], "a reader can be read again"
    assert_same(first, items, PIXELS)
    again = write(tmp_path / "b.jsonl", first)
    assert again.read_bytes() == path.read_bytes(), "what was read writes the same file"


def test_scores_that_differ_in_the_last_bit_stay_different(tmp_path: Path) -> None:
    confidence = np.full(19, 0.5)
    confidence[1] = math.nextafter(0.5, 1)
    p = Pose(1, np.array([0.0, 0, 10, 10]), math.nextafter(0.7, 1), np.ones((19, 2)), confidence)
    for name in READABLE:
        path = write(tmp_path / f"{name}.json", [FramePoses(0, 0, 0.0, (p,))], format=name)
        (found,) = read(path)[0].poses
        assert found.score == p.score
        if name in ("jsonl", "coco"):
            assert found.confidence[1] > found.confidence[0] == 0.5


def test_a_joint_that_is_not_a_number_becomes_absent_and_no_nan_is_written(tmp_path: Path) -> None:
    keypoints = np.full((19, 2), 7.0)
    keypoints[3] = np.nan
    keypoints[4, 0] = np.inf
    keypoints[5, 0] = 1e9
    confidence = np.full(19, 0.9)
    confidence[6] = np.nan
    p = Pose(1, np.array([0.0, 0, 10, 10]), 1.0, keypoints, confidence)
    for name in READABLE:
        path = write(tmp_path / f"{name}.json", [FramePoses(0, 0, 0.0, (p,))], format=name)
        assert "NaN" not in path.read_text() and "Infinity" not in path.read_text()
    (found,) = read(tmp_path / "jsonl.json")[0].poses
    assert found.confidence[[3, 4, 5, 6]].tolist() == [0] * 4
    assert found.keypoints[[3, 4, 5, 6]].tolist() == [[0, 0]] * 4
    assert found.confidence[7] == 0.9


@pytest.mark.parametrize("name", WRITABLE)
def test_a_box_or_score_that_is_not_a_number_is_refused_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    good = frames(6)[3].poses[0]
    for bad in (
        Pose(1, np.array([0, 0, np.nan, 5]), 1.0, good.keypoints, good.confidence),
        Pose(1, good.box, math.nan, good.keypoints, good.confidence),
    ):
        with pytest.raises(OutputError, match="frame 0"):
            write_poses(tmp_path / "a.json", header(), [FramePoses(0, 0, 0.0, (bad,))], name)
        assert list(tmp_path.iterdir()) == []


def test_frames_with_a_stride_and_without_times(tmp_path: Path) -> None:
    strided = frames(6, step=5)
    for name in READABLE:
        assert [f.index for f in read(write(tmp_path / f"{name}.json", strided, format=name))] == [0, 5, 10, 15, 20, 25]
    untimed = [FramePoses(i, i, math.nan, ()) for i in range(3)]
    path = write(tmp_path / "untimed.jsonl", untimed)
    assert '"seconds":null' in path.read_text()
    with open_poses(path) as reader:
        assert not reader.timed and all(math.isnan(f.seconds) for f in reader)


@pytest.mark.parametrize("name", READABLE)
def test_same_input_same_bytes_and_a_video_without_frames(tmp_path: Path, name: str) -> None:
    items = frames(9, seed=4)
    a = write(tmp_path / "a.json", items, format=name).read_bytes()
    assert write(tmp_path / "b.json", items, format=name).read_bytes() == a
    empty = write(tmp_path / "empty.json", [], format=name)
    with open_poses(empty) as reader:
        assert list(reader) == [] and reader.format == name
        assert reader.header.source == header().source and reader.header.run == header().run


@pytest.mark.parametrize("name", WRITABLE)
def test_frames_out_of_order_are_refused(tmp_path: Path, name: str) -> None:
    a, b, *_ = frames(6)
    for wrong in ([b, a], [a, a]):
        with pytest.raises(OutputError, match="comes after"):
            write_poses(tmp_path / "a.json", header(), wrong, name)


@pytest.mark.parametrize(
    ("name", "form", "refused"),
    [
        ("x.json", "cvat", "x.json: is the name of a file of the form coco; what cvat files hold goes by .zip"),
        ("x.mov", "coco", "x.mov: is the name of a video; what coco files hold goes by .json"),
        ("take.json", "yolo", None),  # a folder, as of take.json.mp4
        ("x.h5", "sleap_analysis", None),
        ("x.JSON", "posetrack17", None),
        ("x.json", "jsonl", None),
        ("x.deeplabcut", "deeplabcut", None),
    ],
)
def test_an_output_with_another_forms_name_is_refused(
    name: str, form: str, refused: str | None, tmp_path: Path
) -> None:
    def check() -> None:
        check_output(tmp_path / name, format_of(name, form), overwrite=False)

    if refused is None:
        check()
        return
    with pytest.raises(UsageError, match=re.escape(refused)):
        check()


def test_format_of() -> None:
    assert format_of("a.jsonl") == "jsonl" and format_of("dir.x/a.JSON") == "coco"
    assert format_of("a.json", "posetrack") == "posetrack" and format_of("a", "posetrack17") == "posetrack17"
    for path, explicit in (("a.xyz", None), ("a", None), ("a.json", "xyz")):
        with pytest.raises(UsageError):
            format_of(path, explicit)
    assert all(bool(sink.suffix) is not sink.folder for sink in SINKS.values())
    assert format_of("a.csv") == "csv" and format_of("a.zip") == "cvat"
    check_joints("coco", "all")
    check_joints("jsonl", "all")
    for name, joints in (("posetrack", "all"), ("coco", "some")):
        with pytest.raises(UsageError):
            check_joints(name, joints)


# --- COCO ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("joints", ["default", "all"])
def test_coco_loads_in_pycocotools(tmp_path: Path, joints: str) -> None:
    items = frames(12)
    path = write(tmp_path / "a.json", items, joints=joints)
    coco = COCO(str(path))
    skeleton = COCO17 if joints == "default" else PERSON19
    (category,) = coco.loadCats(coco.getCatIds(["person"]))
    assert tuple(category["keypoints"]) == skeleton.joints
    named = {tuple(sorted((a, b))) for a, b in category["skeleton"]}
    assert named == {tuple(sorted((a + 1, b + 1))) for a, b in skeleton.edges}, "1-based"
    images = coco.loadImgs(coco.getImgIds())
    assert [i["frame_index"] for i in images] == [f.index for f in items], "frames without people are there"
    for image, item in zip(images, items, strict=True):
        assert (image["pts"], image["seconds"]) == (item.pts, item.seconds)
        assert (image["width"], image["height"]) == (640, 360)
        assert image["file_name"] == f"walk in park/{item.index:08d}.jpg"
        found = coco.loadAnns(coco.getAnnIds(image["id"]))
        assert [a["track_id"] for a in found] == [p.track_id for p in item.poses]
        for a, p in zip(found, item.poses, strict=True):
            table = np.array(a["keypoints"]).reshape(-1, 3)
            k = len(skeleton.joints)
            np.testing.assert_allclose(table[:, :2], p.keypoints[:k], atol=PIXELS)
            assert table[:, 2].tolist() == [2 if c >= VISIBLE else 1 for c in p.confidence[:k]]
            assert a["keypoint_scores"] == p.confidence[:k].tolist() and a["score"] == p.score
            assert a["num_keypoints"] == k and a["iscrowd"] == 0 and a["category_id"] == 1
            assert a["area"] == pytest.approx(a["bbox"][2] * a["bbox"][3])
    ids = coco.getAnnIds()
    assert len(set(ids)) == len(ids) == sum(len(f.poses) for f in items) and min(ids) == 1


def test_coco_annotations_work_as_results_against_themselves(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", frames(30))
    truth = COCO(str(path))
    found = truth.loadRes(json.loads(path.read_text())["annotations"])
    evaluation = COCOeval(truth, found, "keypoints")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0) and evaluation.stats[5] == pytest.approx(1.0)


@pytest.mark.parametrize("joints", ["default", "all"])
def test_coco_round_trip(tmp_path: Path, joints: str) -> None:
    items = frames(30)
    path = write(tmp_path / "a.json", items, joints=joints)
    with open_poses(path) as reader:
        assert reader.format == "coco" and reader.records == 30 and reader.timed
        names = COCO17.joints if joints == "default" else PERSON19.joints
        assert reader.header == Header(names, header().source, header().run)
        assert_same(reader, by_name(items, PERSON19.joints, list(names)), PIXELS)


def test_coco_joints_go_by_name_and_lacking_ones_are_unlabelled(tmp_path: Path) -> None:
    names = ("head_top", "left_ankle", "nose")
    path = write(tmp_path / "a.json", frames(6, joints=3), header(names))
    annotation = json.loads(path.read_text())["annotations"][0]
    p = frames(6, joints=3)[2].poses[0]
    table = np.array(annotation["keypoints"]).reshape(17, 3)
    np.testing.assert_allclose(table[15, :2], p.keypoints[1], atol=PIXELS)
    np.testing.assert_allclose(table[0, :2], p.keypoints[2], atol=PIXELS)
    assert annotation["num_keypoints"] == 2 and np.count_nonzero(table.any(axis=1)) == 2


def test_coco_pictures_of_a_folder_keep_their_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", frames(6), frame_name=lambda index: f"left/IMG_{index + 7}.png")
    assert json.loads(path.read_text())["images"][2]["file_name"] == "left/IMG_9.png"


# --- PoseTrack 2018 and 2021, point by point of the specification's A2, A4, A6 --------------------------------------


def posetrack(tmp_path: Path, items: list[FramePoses], head: Header, **options: object) -> dict:
    return json.loads(write(tmp_path / "pt.json", items, head, format="posetrack", **options).read_text())


def test_posetrack_images_list_every_frame_with_official_ids_and_names(tmp_path: Path) -> None:
    value = posetrack(tmp_path, frames(12), header(path="010347_mpii_test"))
    images = value["images"]
    assert [i["id"] for i in images] == [10103470000 + n for n in range(12)]
    assert all(i["frame_id"] == i["id"] and i["vid_id"] == "010347" and i["nframes"] == 12 for i in images)
    assert images[11]["file_name"] == "images/val/010347_mpii_test/000011.jpg"
    assert all(i["ignore_regions_x"] == [] and i["ignore_regions_y"] == [] for i in images)
    ids = [a["id"] for a in value["annotations"]]
    assert len(set(ids)) == len(ids)
    assert all(a["id"] // 100 == a["image_id"] for a in value["annotations"])
    assert {a["image_id"] for a in value["annotations"]} <= {i["id"] for i in images}


@pytest.mark.parametrize(
    ("name", "first", "folder"),
    [
        ("000042_bonn_train.mp4", 20000420000, "images/train/000042_bonn_train"),
        ("24621_mpiinew_test", 30246210000, "images/val/24621_mpiinew_test"),
    ],
)
def test_posetrack_ids_of_other_sources(tmp_path: Path, name: str, first: int, folder: str) -> None:
    image = posetrack(tmp_path, frames(3), header(path=name))["images"][0]
    assert image["id"] == first and image["file_name"] == f"{folder}/000000.jpg"


@pytest.mark.parametrize("form", ["coco", "posetrack", "posetrack17"])
@pytest.mark.parametrize(("source", "folder"), [("holiday.mp4", "holiday"), ("..", "video")])
def test_all_formats_have_one_rule_of_picture_names(tmp_path: Path, form: str, source: str, folder: str) -> None:
    def name(**options: object) -> str:
        path = write(tmp_path / "a.json", frames(3), header(path=source), format=form, overwrite=True, **options)
        value = json.loads(path.read_text())
        return str(value["annolist"][1]["image"][0]["name"] if "annolist" in value else value["images"][1]["file_name"])

    assert name() == f"{folder}/00000001.jpg"
    assert name(picture="png") == f"{folder}/00000001.png"
    assert name(frame_name=lambda index: f"IMG_{index}.tif") == "IMG_1.tif"


def test_posetrack_frame_beyond_the_ids_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="10000"):
        posetrack(tmp_path, [FramePoses(10_000, 0, 0.0, ())], header(path="000001_mpii_test"))


def test_posetrack_categories_and_keypoints(tmp_path: Path) -> None:
    items = frames(12)
    value = posetrack(tmp_path, items, header())
    (category,) = value["categories"]
    assert tuple(category["keypoints"]) == POSETRACK17.joints
    assert {"left_eye", "right_eye"}.isdisjoint(category["keypoints"])
    assert min(min(pair) for pair in category["skeleton"]) == 1
    poses = [p for f in items for p in f.poses]
    assert len(poses) == len(value["annotations"])
    for a, p in zip(value["annotations"], poses, strict=True):
        assert all(isinstance(number, float) for number in a["keypoints"]), "integers would truncate the scores"
        table = np.array(a["keypoints"]).reshape(17, 3)
        for slot, name in enumerate(POSETRACK17.joints):
            if name in ("left_ear", "right_ear"):
                assert table[slot].tolist() == [0, 0, 0] and a["scores"][slot] == 0
                continue
            k = PERSON19.joints.index(name)
            np.testing.assert_allclose(table[slot, :2], p.keypoints[k], atol=PIXELS)
            assert table[slot, 2] == 1
            assert a["scores"][slot] == p.confidence[k] * p.score
        assert a["track_id"] == p.track_id and len(a["scores"]) == 17


def test_posetrack_stand_ins_of_a_coco_model(tmp_path: Path) -> None:
    keypoints = np.arange(34, dtype=np.float64).reshape(17, 2) + 100
    confidence = np.full(17, 0.5)
    confidence[[5, 6]] = 0.4, 0.8
    p = Pose(3, np.array([90.0, 90, 140, 140]), 0.5, keypoints, confidence)
    value = posetrack(tmp_path, [FramePoses(0, 0, 0.0, (p,))], header(COCO17.joints))
    table = np.array(value["annotations"][0]["keypoints"]).reshape(17, 3)
    middle = (keypoints[5] + keypoints[6]) / 2
    assert table[1, :2].tolist() == middle.tolist()
    assert table[2, :2].tolist() == (2 * keypoints[0] - middle).tolist()
    assert value["annotations"][0]["scores"][1:3] == pytest.approx([0.3, 0.3])
    confidence[5] = 0
    value = json.loads(
        write(tmp_path / "b.json", [FramePoses(0, 0, 0.0, (p,))], header(COCO17.joints), format="posetrack").read_text()
    )
    table = np.array(value["annotations"][0]["keypoints"]).reshape(17, 3)
    assert not table[1:3].any() and not table[5].any(), "without a shoulder there is no stand-in"


@pytest.mark.parametrize("name", ["posetrack", "posetrack17"])
@pytest.mark.parametrize("tracks", [(10_000,), (-1,), (4, 4)])
def test_posetrack_track_ids_that_the_evaluators_refuse(tmp_path: Path, name: str, tracks: tuple[int, ...]) -> None:
    good = frames(6)[3].poses[0]
    poses = tuple(Pose(t, good.box, 1.0, good.keypoints, good.confidence) for t in tracks)
    with pytest.raises(OutputError, match="track id"):
        write_poses(tmp_path / "a.json", header(), [FramePoses(0, 0, 0.0, poses)], name)


def test_posetrack_round_trip(tmp_path: Path) -> None:
    items = frames(30)
    path = write(tmp_path / "a.json", items, header(path="000001_mpii_test"), format="posetrack")
    with open_poses(path) as reader:
        assert reader.format == "posetrack" and reader.header.joints == POSETRACK17.joints and reader.records == 30
        found = list(reader)
    ears = [POSETRACK17.joints.index("left_ear"), POSETRACK17.joints.index("right_ear")]
    assert all(not p.confidence[ears].any() for f in found for p in f.poses)
    wanted = SHARED_JOINTS
    assert_same(by_name(found, POSETRACK17.joints, wanted), by_name(items, PERSON19.joints, wanted), PIXELS)


def test_more_than_a_hundred_people_have_distinct_ids(tmp_path: Path) -> None:
    good = frames(6)[3].poses[0]
    poses = tuple(Pose(t, good.box, 1.0, good.keypoints, good.confidence) for t in range(150))
    crowd = [FramePoses(i, i, i / 25, poses) for i in range(3)]
    value = posetrack(tmp_path, crowd, header(path="000001_mpii_test"))
    assert len({a["id"] for a in value["annotations"]}) == 450


# --- PoseTrack 2017 (A3, A6) ----------------------------------------------------------------------------------------


def test_posetrack17_form(tmp_path: Path) -> None:
    items = frames(12)
    path = write(tmp_path / "a.json", items, header(path="000342_mpii"), format="posetrack17")
    entries = json.loads(path.read_text())["annolist"]
    assert len(entries) == 12
    for entry, item in zip(entries, items, strict=True):
        assert entry["image"] == [{"name": f"images/000342_mpii/{item.index + 1:08d}.jpg"}]
        assert entry["imgnum"] == [item.index + 1]
        assert len(entry["annorect"]) == len(item.poses), "an empty frame has an empty list"
        for person, p in zip(entry["annorect"], item.poses, strict=True):
            assert person["track_id"] == [p.track_id] and person["score"] == [p.score]
            points = {point["id"][0]: point for point in person["annopoints"][0]["point"]}
            assert len(points) == 15
            for joint, point in points.items():
                k = PERSON19.joints.index(POSETRACK15.joints[joint])
                np.testing.assert_allclose([point["x"][0], point["y"][0]], p.keypoints[k], atol=PIXELS)
                assert point["score"] == [p.confidence[k] * p.score]


def test_posetrack17_lists_no_absent_joints(tmp_path: Path) -> None:
    good = frames(6)[3].poses[0]
    confidence = good.confidence.copy()
    confidence[9] = 0
    nobody = Pose(2, good.box, 0.5, good.keypoints, np.zeros(19))
    items = [FramePoses(0, 0, 0.0, (Pose(1, good.box, 0.5, good.keypoints, confidence), nobody))]
    path = write(tmp_path / "a.json", items, format="posetrack17")
    (person,) = json.loads(path.read_text())["annolist"][0]["annorect"]
    ids = [point["id"][0] for point in person["annopoints"][0]["point"]]
    assert sorted(ids) == [i for i in range(15) if POSETRACK15.joints[i] != "left_wrist"]


def test_posetrack17_round_trip(tmp_path: Path) -> None:
    items = frames(30)
    path = write(tmp_path / "a.json", items, format="posetrack17")
    with open_poses(path) as reader:
        assert reader.format == "posetrack17" and reader.header.joints == POSETRACK15.joints
        assert reader.header.source == header().source
        found = list(reader)
    assert_same(found, by_name(items, PERSON19.joints, list(POSETRACK15.joints)), PIXELS)


# --- others' files ------------------------------------------------------------------------------------------------


def put(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value))
    return path


def coco_value() -> dict:
    """A ground truth file as others write it: nothing of ours, images out of order of their annotations."""
    rows = [[10.0 + k, 20.0 + 2 * k, 2] for k in range(17)]
    rows[3] = [0, 0, 0]
    flat_rows = [number for row in rows for number in row]
    return {
        "categories": [
            {"id": 1, "name": "person", "keypoints": list(COCO17.joints), "skeleton": [[16, 14]]},
            {"id": 2, "name": "dog"},
        ],
        "annotations": [
            {"id": 5, "image_id": 31, "category_id": 1, "keypoints": flat_rows, "bbox": [1, 2, 30, 40], "iscrowd": 0},
            {"id": 6, "image_id": 30, "category_id": 1, "keypoints": flat_rows, "iscrowd": 0},
            {"id": 7, "image_id": 30, "category_id": 2, "bbox": [0, 0, 5, 5]},
            {"id": 8, "image_id": 30, "category_id": 1, "iscrowd": 1, "bbox": [0, 0, 5, 5]},
            {"id": 9, "image_id": 31, "category_id": 1, "bbox": [3, 4, 5, 6], "iscrowd": 0},
        ],
        "images": [
            {"id": 30, "file_name": "a/0.jpg", "width": 64, "height": 48},
            {"id": 31, "file_name": "a/1.jpg", "width": 64, "height": 48},
        ],
    }


def test_a_foreign_coco_file(tmp_path: Path) -> None:
    with open_poses(put(tmp_path / "gt.json", coco_value())) as reader:
        assert not reader.timed and reader.header.source == SourceInfo(width=64, height=48)
        first, second = reader
    assert (first.index, first.pts, second.index) == (0, 0, 1) and math.isnan(first.seconds)
    (p,) = first.poses
    assert p.score == 1.0 and p.confidence.tolist() == [1, 1, 1, 0] + [1] * 13
    # No box in the file: extent 16 x 32 of the joints, grown by 15 % on each side.
    np.testing.assert_allclose(p.box, [10 - 2.4, 20 - 4.8, 26 + 2.4, 52 + 4.8])
    a, b = second.poses
    assert [p.track_id, a.track_id, b.track_id] == [0, 1, 2] and a.box.tolist() == [1, 2, 31, 42]
    assert b.box.tolist() == [3, 4, 8, 10] and not b.confidence.any()


def test_file_with_byte_order_mark_and_line_breaks(tmp_path: Path) -> None:
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(coco_value(), indent=2).replace("\n", "\r\n"), encoding="utf-8-sig", newline="")
    assert len(read(path)) == 2


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_documents_read_the_same_in_pieces_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    path = write(tmp_path / "a.json", frames(8))
    expected = [flat(f) for f in read(path)]
    monkeypatch.setattr("ftpcli.datasets.document._CHUNK", size)
    assert [flat(f) for f in read(path)] == expected


def test_golden_files_of_the_field(shared: Path) -> None:
    opened = {"posetrack": 0, "posetrack17": 0}
    for path in sorted((shared / "golden").glob("[01]*/*/*.json")):
        value = json.loads(path.read_text())
        with open_poses(path) as reader:
            opened[reader.format] += 1
            assert reader.format == ("posetrack17" if "annolist" in value else "posetrack")
            read_frames = list(reader)
            assert len(read_frames) == len(value.get("annolist", value.get("images"))) == reader.records
        if reader.format == "posetrack":
            present = [a for a in value["annotations"] if any(a["keypoints"]) or any(a.get("bbox", []))]
            assert sum(len(f.poses) for f in read_frames) == len(present)
    assert opened["posetrack"] > 20 and opened["posetrack17"] == 4


def test_placeholder_people_of_others_posetrack17_predictions_are_nobody(tmp_path: Path) -> None:
    point = {"id": [0], "x": [0], "y": [0], "score": [-100]}
    entry = {
        "image": {"name": "images/a/00000001.jpg"},
        "annorect": [{"x1": [0], "score": [-100], "track_id": [0], "annopoints": [{"point": [point]}]}],
    }
    assert read(put(tmp_path / "a.json", {"annolist": [entry]}))[0].poses == ()


# --- outputs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRITABLE)
def test_a_failing_source_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="broken"):
        write_poses(tmp_path / "a.json", header(), failing(frames(4), InputError("broken")), name)
    with pytest.raises(OSError, match="not ours"):
        write_poses(tmp_path / "a.json", header(), failing(frames(4), OSError("not ours")), name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", READABLE)
def test_writing_and_reading_hold_one_frame_at_a_time(tmp_path: Path, name: str) -> None:
    items = frames(60)
    alive: list[weakref.ref[np.ndarray]] = []

    def living() -> int:
        return sum(reference() is not None for reference in alive)

    def stream() -> Iterator[FramePoses]:
        for item in items:
            poses = tuple(Pose(p.track_id, p.box, p.score, p.keypoints.copy(), p.confidence) for p in item.poses)
            alive.extend(weakref.ref(p.keypoints) for p in poses)
            assert living() <= 6, "those of this frame and of the one before"
            yield FramePoses(item.index, item.pts, item.seconds, poses)

    write_poses(tmp_path / "a.json", header(), stream(), name)
    assert len(alive) > 60 and living() == 0
    alive.clear()
    with open_poses(tmp_path / "a.json") as reader:
        for frame in reader:
            alive.extend(weakref.ref(p.keypoints) for p in frame.poses)
            assert living() <= 6


def test_existing_files_are_kept_unless_asked_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("precious")
    with pytest.raises(OutputError, match="--overwrite"):
        write_poses(path, header(), frames(3))
    with pytest.raises(InputError):
        write_poses(path, header(), failing(frames(3), InputError("broken")), overwrite=True)
    assert path.read_text() == "precious"
    write_poses(path, header(), frames(3), overwrite=True)
    assert len(read(path)) == 3 and list(tmp_path.iterdir()) == [path]


def test_outputs_get_the_usual_permissions_and_follow_links(tmp_path: Path) -> None:
    reference = tmp_path / "reference"
    reference.write_text("")
    target, link = tmp_path / "sub" / "real.jsonl", tmp_path / "link.jsonl"
    target.parent.mkdir()
    link.symlink_to(target)
    write(link, frames(2))
    assert link.is_symlink() and target.stat().st_mode == reference.stat().st_mode
    assert len(read(target)) == 2


def test_numbers_that_do_not_fit_are_not_written(tmp_path: Path) -> None:
    one = next(frame for frame in frames(4) if frame.poses)
    pose = one.poses[0]
    for wrong, why in (
        (replace(pose, raw=np.zeros((1, 3))), "has 1 joints, the header names 19"),
        (replace(pose, keypoints=pose.keypoints[:17]), "has 17 joints"),
        (replace(pose, box=pose.box.reshape(2, 2)), "not four numbers"),
    ):
        with pytest.raises(OutputError, match=why):
            write_poses(tmp_path / "a.jsonl", header(), [replace(one, poses=(wrong,))])


def test_unknown_joints_are_not_written(tmp_path: Path) -> None:
    for name in WRITABLE:
        if name == "mot":  # it holds no joints
            continue
        with pytest.raises(OutputError, match="left_toe"):
            write_poses(tmp_path / "a.json", header(("nose", "left_toe")), [], name)
