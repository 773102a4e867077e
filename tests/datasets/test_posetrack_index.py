"""PoseTrack as a data set: files as distributed, and the traps of the specification's checklist B7."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ftpcli.datasets.boxes import POSETRACK2017, box_of_joints
from ftpcli.datasets.posetrack.detections import Detections
from ftpcli.datasets.posetrack.index import PoseTrackIndex, clipped_box
from ftpcli.datasets.posetrack.reading import read_video
from ftpcli.errors import InputError, UsageError
from ftpcli.skeleton import POSETRACK15
from tests.support.eval_support import FIGURE, HEAD, as_2017, person, save, video18

Data = dict[str, Any]
AT = {joint: i for i, joint in enumerate(POSETRACK15.joints)}


def root18(folder: Path, data: Data, name: str = "000001_mpii_test") -> Path:
    save(folder / "annotations" / "val", data, name)
    return folder


def root17(folder: Path, names: list[str], on_disk: list[str] | None = None, place: str = "images") -> Path:
    """A 2017 set with one person a frame; ``on_disk``: picture names that exist (content does not matter)."""
    data = as_2017(video18([[person(10 * i)] for i in range(len(names))]))
    for entry, name in zip(data["annolist"], names, strict=True):
        entry["image"] = [{"name": f"images/bonn_5sec/000001_bonn/{name}"}]
    save(folder / "annotations" / "val", data, "000001_bonn")
    for name in on_disk or []:
        path = folder / place / "bonn_5sec" / "000001_bonn" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def only(index: PoseTrackIndex) -> Any:
    assert len(index) == 1
    return index.sequences[0]


# --- joints ---------------------------------------------------------------------------------------------------------


def test_head_points_sit_in_the_slots_of_the_eyes(tmp_path: Path) -> None:
    index = PoseTrackIndex(root18(tmp_path, video18([[person()]])), "18")
    found = only(index).frames[0].people[0]
    assert index.joints == POSETRACK15.joints and not any("ear" in joint or "eye" in joint for joint in index.joints)
    for joint, place in FIGURE.items():
        assert found.keypoints[AT[joint]].tolist() == list(place), joint
    assert found.visible.all()


def test_left_and_right_are_the_persons_own(tmp_path: Path) -> None:
    """The figure faces us: its left limbs are at higher x, whichever of the two forms is read."""
    data = video18([[person()]])
    new = only(PoseTrackIndex(root18(tmp_path / "18", data), "18")).frames[0].people[0]
    save(tmp_path / "17" / "annotations" / "val", as_2017(data))
    old = only(PoseTrackIndex(tmp_path / "17", "17")).frames[0].people[0]
    for found in (new, old):
        for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
            assert found.keypoints[AT[f"left_{part}"], 0] > found.keypoints[AT[f"right_{part}"], 0]


def test_missing_is_all_zero_and_not_v_zero(tmp_path: Path) -> None:
    entry = person(without=("nose",))
    entry["keypoints"] = [*entry["keypoints"]]
    slot = 15 * 3  # left ankle: v = 0 with a position
    entry["keypoints"][slot + 2] = 0.0
    found = only(PoseTrackIndex(root18(tmp_path, video18([[entry]])), "18")).frames[0].people[0]
    assert not found.visible[AT["nose"]] and found.visible[AT["left_ankle"]]
    assert found.visible.sum() == 14


def test_num_keypoints_of_the_file_is_not_believed(tmp_path: Path) -> None:
    entry = person(only=("nose", "left_hip"), num_keypoints=17)
    found = only(PoseTrackIndex(root18(tmp_path, video18([[entry]])), "18")).frames[0].people[0]
    assert found.visible.sum() == 2


def test_negative_coordinates_are_legal(tmp_path: Path) -> None:
    found = only(PoseTrackIndex(root18(tmp_path, video18([[person(-40, -20)]])), "18")).frames[0].people[0]
    assert found.visible.all() and found.keypoints.min() < 0


# --- boxes ----------------------------------------------------------------------------------------------------------


def test_head_boxes_are_corners_in_2017_and_sizes_in_2018_and_never_the_body(tmp_path: Path) -> None:
    data = video18([[person(7, 0, bbox=[1.0, 2.0, 30.0, 40.0])]])
    new = only(PoseTrackIndex(root18(tmp_path / "18", data), "18")).frames[0].people[0]
    save(tmp_path / "17" / "annotations" / "val", as_2017(data))
    old = only(PoseTrackIndex(tmp_path / "17", "17")).frames[0].people[0]
    expected = [HEAD[0] + 7, HEAD[1], HEAD[0] + 7 + HEAD[2], HEAD[1] + HEAD[3]]
    assert new.head.tolist() == old.head.tolist() == expected
    assert new.box.tolist() == [1.0, 2.0, 31.0, 42.0]


def test_body_boxes_of_2017_come_from_the_joints(tmp_path: Path) -> None:
    save(tmp_path / "annotations" / "val", as_2017(video18([[person(bbox=[1.0, 2.0, 3.0, 4.0])]])))
    found = only(PoseTrackIndex(tmp_path, "17")).frames[0].people[0]
    points = np.array(list(FIGURE.values()))
    low, high = points.min(axis=0), points.max(axis=0) + 1
    size = (high - low) * 1.2
    assert found.box[2:] - found.box[:2] == pytest.approx(size)
    assert (found.box[2:] + found.box[:2]) / 2 == pytest.approx((low + high) / 2)
    assert box_of_joints(np.zeros((0, 2)), POSETRACK2017) is None
    assert box_of_joints(np.array([[5.0, 6.0]]), POSETRACK2017).tolist() == pytest.approx([4.9, 5.9, 6.1, 7.1])


def test_boxes_are_clipped_as_in_training() -> None:
    assert clipped_box(np.array([-10.0, 5.0, 20.0, 300.0]), 100, 80).tolist() == [0, 5, 29, 79]
    assert clipped_box(np.array([10.0, 10.0, 21.0, 31.0]), 100, 80).tolist() == [10, 10, 20, 30]
    assert clipped_box(np.array([120.0, 5.0, 150.0, 30.0]), 100, 80) is None


def test_a_person_without_joints_is_no_sample(tmp_path: Path) -> None:
    data = as_2017(video18([[person(), person(only=())]]))
    data["annolist"][0]["annorect"][1]["annopoints"] = []
    save(tmp_path / "annotations" / "val", data)
    index = PoseTrackIndex(tmp_path, "17")
    people = only(index).frames[0].people
    assert len(people) == 2 and people[1].box is None and people[1].head is not None
    assert len(list(index.people())) == 1


# --- frames ---------------------------------------------------------------------------------------------------------


def test_2018_counts_from_000000_and_2017_from_anywhere(tmp_path: Path) -> None:
    new = only(PoseTrackIndex(root18(tmp_path / "18", video18([[person()]] * 3)), "18"))
    assert [frame.image.name for frame in new.frames] == ["000000.jpg", "000001.jpg", "000002.jpg"]
    assert new.frames[0].image_id == 10_000_010_000
    names = ["00000012.jpg", "00000013.jpg", "00000014.jpg"]
    old = only(PoseTrackIndex(root17(tmp_path / "17", names, names), "17"))
    assert [frame.image.name for frame in old.frames] == names
    assert [frame.position for frame in old.frames] == [0, 1, 2]
    crops = ["0007_crop.jpg", "0011_crop.jpg"]
    cropped = only(PoseTrackIndex(root17(tmp_path / "crop", crops, crops), "17"))
    assert [frame.image.name for frame in cropped.frames] == crops


@pytest.mark.parametrize("place", ["images", "images_renamed"])
def test_renamed_copies_of_2017_count_from_1(tmp_path: Path, place: str) -> None:
    """Numbers 2 to 4 exist under both countings; the copies are taken as a whole, by order."""
    names = [f"{i:08d}.jpg" for i in range(2, 7)]
    copies = [f"{i:08d}.jpg" for i in range(1, 6)]
    sequence = only(PoseTrackIndex(root17(tmp_path, names, copies, place), "17"))
    assert [frame.image.name for frame in sequence.frames] == copies
    assert [frame.name.split("/")[-1] for frame in sequence.frames] == names


def test_neighbours_of_2017_are_pictures_that_the_annotations_do_not_list(tmp_path: Path) -> None:
    pictures = [f"{i:08d}.jpg" for i in range(5, 12)]
    sequence = only(PoseTrackIndex(root17(tmp_path, ["00000007.jpg", "00000009.jpg"], pictures), "17"))
    window, padded = sequence.window(1, 3)
    assert [path.name for path in window] == ["00000008.jpg", "00000009.jpg", "00000010.jpg"]
    assert padded == (False, False, False)
    assert len(sequence.images) == 7 and len(sequence.frames) == 2


def test_windows_take_unlabelled_neighbours_and_the_key_frame_at_the_ends(tmp_path: Path) -> None:
    sequence = only(PoseTrackIndex(root18(tmp_path, video18([[person()], [], [], [person()], []])), "18"))
    assert [frame.labelled for frame in sequence.frames] == [True, False, False, True, False]

    def numbers(index: int, **options: int) -> list[int]:
        return [int(path.stem) for path in sequence.window(index, **options)[0]]

    assert numbers(3) == [2, 3, 4] and sequence.window(3)[1] == (False, False, False)
    assert numbers(0) == [0, 0, 1] and sequence.window(0)[1] == (True, False, False)
    assert numbers(4) == [3, 4, 4] and sequence.window(4)[1] == (False, False, True)
    assert numbers(1, size=5) == [1, 0, 1, 2, 3] and numbers(0, size=1) == [0]
    with pytest.raises(UsageError, match="has no middle"):
        sequence.window(0, 2)


def test_labelled_frames_by_version(tmp_path: Path) -> None:
    """2021 has boxes without joints in frames that are not labelled; 2018 is labelled where it has people."""
    data = video18(
        [[person()], [person(only=())], [], []],
        is_labeled=[True, False, True, False],
        has_labeled_person=[True, True, False, False],
    )
    save(tmp_path / "21" / "posetrack_data" / "val", data)
    index = PoseTrackIndex(tmp_path / "21", "21")
    assert [frame.labelled for frame in only(index).frames] == [True, False, True, False]
    assert len(only(index).frames[1].people) == 1 and len(list(index.people())) == 1
    unmarked = video18([[person()], [person()], []], is_labeled=[None, False, None])
    frames = only(PoseTrackIndex(root18(tmp_path / "18", unmarked), "18")).frames
    assert [frame.labelled for frame in frames] == [True, True, False]


def test_boxes_of_2021_may_lack_keypoints(tmp_path: Path) -> None:
    data = video18([[person()], [person()]], is_labeled=[True, False], has_labeled_person=[True, True])
    del data["annotations"][1]["keypoints"]
    save(tmp_path / "posetrack_data" / "val", data)
    frames = only(PoseTrackIndex(tmp_path, "21")).frames
    assert frames[0].people[0].visible.all() and not frames[1].people[0].visible.any()


def test_ignore_regions_and_track_ids(tmp_path: Path) -> None:
    regions = {"ignore_regions_x": [[[1.0, 5.0, 5.0]], None], "ignore_regions_y": [[[1.0, 1.0, 5.0]], None]}
    data = video18([[person(track=4)], [person(track=5)]], **regions)
    del data["images"][1]["ignore_regions_x"]
    first, second = only(PoseTrackIndex(root18(tmp_path, data), "18")).frames
    assert [polygon.tolist() for polygon in first.regions] == [[[1, 1], [5, 1], [5, 5]]]
    assert second.regions == ()
    assert (first.people[0].track_id, second.people[0].track_id) == (4, 5)


def test_all_three_layouts_are_found_and_others_told(tmp_path: Path) -> None:
    data = video18([[person()]])
    for version, folder in (("18", "posetrack_data/annotations/val"), ("21", "posetrack_data/val")):
        save(tmp_path / version / folder, data)
        assert len(PoseTrackIndex(tmp_path / version, version)) == 1
    image = tmp_path / "18" / "posetrack_data" / "images/val/000001_mpii_test/000000.jpg"
    image.parent.mkdir(parents=True)
    image.touch()
    assert only(PoseTrackIndex(tmp_path / "18", "18")).frames[0].image == image
    with pytest.raises(InputError, match="annotations/train: no such folder"):
        PoseTrackIndex(tmp_path / "18", "18", "train")
    with pytest.raises(InputError, match="2018 form, not PoseTrack17's"):
        PoseTrackIndex(tmp_path / "18", "17")
    with pytest.raises(InputError, match="nowhere: no such folder"):
        PoseTrackIndex(tmp_path / "nowhere", "18")
    with pytest.raises(UsageError):
        PoseTrackIndex(tmp_path, "19")
    mats = tmp_path / "mat" / "annotations" / "val"
    mats.mkdir(parents=True)
    (mats / "000001_bonn.mat").touch()
    with pytest.raises(InputError, match=r"has \.mat files only"):
        PoseTrackIndex(tmp_path / "mat", "17")
    with pytest.raises(InputError, match=r"\.mat files are not read"):
        read_video(mats / "000001_bonn.mat")


@pytest.mark.parametrize(
    "name",
    ["../secret/000000.jpg", "images/../../000000.jpg", "/etc/000000.jpg", "images\\..\\..\\x.jpg", "C:/x.jpg", ""],
)
def test_frame_names_may_not_climb_out_of_the_root(tmp_path: Path, name: str) -> None:
    data = video18([[person()]])
    data["images"][0]["file_name"] = name
    with pytest.raises(InputError, match="leads out of the data set's folder"):
        PoseTrackIndex(root18(tmp_path, data), "18")


# --- detections -----------------------------------------------------------------------------------------------------


def boxes_file(folder: Path, entries: list[Data]) -> Path:
    path = folder / "boxes.json"
    path.write_text(json.dumps([{"bbox": [10, 20, 30, 40], "score": 0.5, "category_id": 1, **e} for e in entries]))
    return path


def test_detections_of_2017_name_the_renamed_copies(tmp_path: Path) -> None:
    """The frame 00000012.jpg is the first of its video: 00000001.jpg in a detection list."""
    names = [f"{i:08d}.jpg" for i in range(2, 6)]
    index = PoseTrackIndex(root17(tmp_path, names, names), "17")
    listed = [{"image_name": f"images/bonn_5sec/000001_bonn/{i:08d}.jpg", "score": 0.2 + i / 10} for i in (1, 4)]
    found = Detections(boxes_file(tmp_path, listed), index)
    assert [len(found.of(0, i)) for i in range(4)] == [1, 0, 0, 1]
    assert found.of(0, 0).tolist() == [[10, 20, 40, 60, pytest.approx(0.3)]]


def test_detections_of_2018_by_name_and_by_id(tmp_path: Path) -> None:
    index = PoseTrackIndex(root18(tmp_path, video18([[person()]] * 3)), "18")
    entries = [
        {"image_name": "images/val/000001_mpii_test/000000.jpg"},
        {"image_id": 10_000_010_002, "score": 0.19},
        {"image_id": 10_000_010_002, "score": 0.2},
        {"image_id": 10_000_010_002, "score": 0.9, "category_id": 3},
        {"image_id": 10_000_010_002, "score": 0.9, "bbox": [1, 1, 0, 5]},
        {"image_id": 5},
    ]
    found = Detections(boxes_file(tmp_path, entries), index)
    assert [len(found.of(0, i)) for i in range(3)] == [1, 0, 1] and found.used == 2
    assert found.of(0, 2)[0, 4] == 0.2  # the threshold itself is kept; weaker ones go, never stronger ones
    assert len(Detections(boxes_file(tmp_path, entries), index, 0.1).of(0, 2)) == 2


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{}", "not a plain list of results"),
        ('[{"score": 1}]', "entry 1: 'bbox' is missing"),
        ('[{"score": 1, "bbox": [1, 2, 3], "image_id": 7}]', "'bbox' has 3 numbers, expected 4"),
        ('[{"score": 1, "bbox": [1, 2, 3, 4]}]', "neither 'image_id' nor 'image_name'"),
        ('[{"score": 1, "bbox": [1, 2, 3, 4], "image_id": 7}]', "1 of pictures that the data set does not list"),
    ],
)
def test_wrong_detection_lists_are_one_line(tmp_path: Path, content: str, text: str) -> None:
    index = PoseTrackIndex(root18(tmp_path, video18([[person()]])), "18")
    path = tmp_path / "boxes.json"
    path.write_text(content)
    with pytest.raises(InputError, match=text) as caught:
        Detections(path, index)
    assert "boxes.json" in str(caught.value)


# --- the generated sample -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["17", "18", "21"])
def test_the_sample_has_everything_that_the_real_set_has(tmp_path: Path, layout: str) -> None:
    from tests.evaluation.test_model import load_sample

    sample = load_sample()
    sample.make(tmp_path / "a", layout, 12)
    for split in ("train", "val"):
        index = PoseTrackIndex(tmp_path / "a", layout, split)
        frames = [frame for sequence in index for frame in sequence.frames]
        assert len(index) == 3 and all(frame.image.is_file() for frame in frames)
        assert {frame.labelled for frame in frames} == {True, False}
        assert {len(frame.people) for frame in frames} == {0, 1, 2}
        assert any(frame.regions for frame in frames) and not all(frame.regions for frame in frames)
        people = [person for frame in frames if frame.labelled for person in frame.people]
        assert {bool(person.visible.any()) for person in people} == {True, False}
        assert any(0 < person.visible.sum() < 15 for person in people)
        assert all(person.head is not None for person in people)
    if layout == "21":
        assert any(frame.people and not frame.labelled for frame in frames)
    if layout == "17":
        numbers = {sequence.frames[0].image.name for sequence in PoseTrackIndex(tmp_path / "a", "17")}
        assert len(numbers) == 3 and any("_crop" in name for name in numbers)
    sample.make(tmp_path / "b", layout, 12)
    for path in sorted((tmp_path / "a").rglob("*.json")):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()
    with pytest.raises(Exception, match="is not empty"):
        sample.make(tmp_path / "a", layout)
    shutil.rmtree(tmp_path / "b")


def test_the_sample_draws_people_where_it_says(tmp_path: Path) -> None:
    """Around visible joints the picture is the figure's colour, so boxes and joints fit the pictures."""
    import cv2

    from tests.evaluation.test_model import load_sample

    load_sample().make(tmp_path / "a", "18", 12)
    sequence = PoseTrackIndex(tmp_path / "a", "18").sequences[0]
    frame = next(frame for frame in sequence.frames if frame.labelled)
    later = sequence.frames[-1]
    image, other = cv2.imread(str(frame.image)).astype(int), cv2.imread(str(later.image)).astype(int)
    limbs = [AT["left_knee"], AT["right_knee"], AT["left_hip"], AT["right_hip"]]
    person = frame.people[0]
    moved = [
        np.abs(image[int(y), int(x)] - other[int(y), int(x)]).sum()
        for x, y in person.keypoints[limbs][person.visible[limbs]]
    ]
    assert max(moved) > 60


def test_the_sample_from_real_clips(shared: Path, tmp_path: Path) -> None:
    from tests.evaluation.test_model import load_sample

    load_sample().make(tmp_path / "a", "18", 12, shared / "data" / "clips")
    index = PoseTrackIndex(tmp_path / "a", "18")
    assert len(index) == 3 and len(list(index.people())) > 15
    assert all(frame.image.stat().st_size > 3000 for sequence in index for frame in sequence.frames)
