"""COCO files of other tools, read alike for boxes, drawing, training, evaluation and the detector."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ftpcli.datasets.coco import read_coco
from ftpcli.datasets.poses import open_poses
from ftpcli.datasets.scenes import load_pictures
from ftpcli.drawing.rendering import render
from ftpcli.errors import InputError
from ftpcli.evaluation.coco_files import Truth
from ftpcli.evaluation.files import evaluate_files
from ftpcli.evaluation.notices import Notices
from ftpcli.people.sources import BoxesFile
from ftpcli.records import Frame, VideoInfo
from ftpcli.skeleton import COCO17
from ftpcli.training.sources import CocoKeypoints
from ftpcli.video import open_source
from tests.support.others_files import FRAMES, SIZE, Data, box, coco, coco_vid, cvat, joints, pictures, put

NAMES = [f"frame_{n:06d}.png" for n in range(1, FRAMES + 1)]
VIDEO = VideoInfo("walk.mp4", *SIZE, 0, Fraction(1, 30), Fraction(30), FRAMES, 0.2, 0.0, "h264", False)


def folder_info(folder: Path) -> VideoInfo:
    with open_source(folder) as reader:
        return reader.info


def boxes(source: BoxesFile, count: int = FRAMES) -> list[dict[int, list[float]]]:
    """For each frame the people's xywh by id."""
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    found = []
    for n in range(count):
        people = source(Frame(n, n, n / 30, image)).people
        found.append({p.track_id: [*p.box[:2], *(p.box[2:] - p.box[:2])] for p in people})
    return found


def expected(*ids: int, frames: int = FRAMES) -> list[dict[int, Any]]:
    return [{i: pytest.approx(box(n, place)) for place, i in enumerate(ids)} for n in range(frames)]


# --- frames and people by identity ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [cvat, coco_vid])
def test_people_and_frames_are_those_of_the_file(tmp_path: Path, form: Callable[[list[str]], Data]) -> None:
    path = put(tmp_path / "a.json", form(NAMES))
    ids = (7, 8) if form is cvat else (3, 4)
    info = folder_info(pictures(tmp_path / "walk", NAMES))
    for source in (BoxesFile(path, VIDEO), BoxesFile(path, info)):
        assert boxes(source) == expected(*ids)
    told = BoxesFile(path, info).warnings
    assert list(told) == (
        [f"a.json: 1 annotation is left out: 1 {'without joints and without a box'}"] * (form is cvat)
    )
    told = BoxesFile(path, VIDEO).warnings
    assert any("numbers in their file names, counted from 1" in line for line in told) == (form is cvat)


def test_pictures_of_a_folder_go_by_their_names_whatever_the_order(tmp_path: Path) -> None:
    names = ["b.png", "c.png", "a.png", "d.png", "e.png"]
    data = coco([f"C:\\work\\{name}" for name in names])
    data["images"].insert(2, data["images"].pop())
    path = put(tmp_path / "a.json", data)
    found = boxes(BoxesFile(path, folder_info(pictures(tmp_path / "walk", names))))
    places = [sorted(names).index(name) for name in names]
    want = [expected(2 * place, 2 * place + 1)[n] for n, place in enumerate(places)]
    assert [found[place] for place in places] == want, "nobody is taken for somebody of another picture"
    with open_poses(path, tmp_path / "walk") as reader:
        assert reader.by_name and [frame.index for frame in reader] == [0, 1, 2, 3, 4]
    assert any("no track ids" in line for line in BoxesFile(path, VIDEO).warnings)


def test_a_picture_that_cannot_be_decoded_shifts_nobody(tmp_path: Path) -> None:
    folder, path = pictures(tmp_path / "walk", NAMES), put(tmp_path / "a.json", cvat(NAMES))
    (folder / NAMES[1]).write_bytes(b"no picture")
    people = BoxesFile(path, folder_info(folder))
    with open_source(folder) as frames:
        found = [{p.track_id: p.box[0] for p in people(frame).people} for frame in frames]
    assert found == [{7: pytest.approx(box(n, 0)[0]), 8: pytest.approx(box(n, 1)[0])} for n in (0, 2, 3, 4)]
    done = render(folder, path, tmp_path / "o.mp4", fps=Fraction(10))
    assert (done.frames, done.people, done.ids) == (4, 8, (7, 8))


def test_images_that_are_not_in_the_folder_are_left_out_and_said(tmp_path: Path) -> None:
    path = put(tmp_path / "a.json", cvat(NAMES))
    source = BoxesFile(path, folder_info(pictures(tmp_path / "walk", NAMES[:3])))
    assert boxes(source, 3) == expected(7, 8, frames=3)
    assert any("2 of its 5 images are not in the folder" in line for line in source.warnings)


@pytest.mark.parametrize(
    ("names", "indices", "words"),
    [
        (["f_2.png", "f_0.png", "f_4.png"], [2, 0, 4], "counted from 0"),
        (["f_2.png", "f_1.png", "f_4.png"], [1, 0, 3], "counted from 1"),
        (["f_20.png", "f_10.png", "f_40.png"], [1, 0, 2], "in the order of the numbers in their file names, from 10"),
        (["a/f_1.png", "b/f_1.png", "c/f_2.png"], [0, 1, 2], "taken in the file's order"),
        (["x.png", "y.png", "z.png"], [0, 1, 2], "taken in the file's order"),
        ([None, None, None], [0, 1, 2], "taken in the file's order"),
    ],
)
def test_without_any_identity_names_decide_and_that_is_said(
    tmp_path: Path, names: list[Any], indices: list[int], words: str
) -> None:
    data = coco(["x.png"] * 3)
    for image, name in zip(data["images"], names, strict=True):
        image["file_name"] = name
    with open_poses(put(tmp_path / "a.json", data)) as reader:
        assert any(words in line for line in reader.warnings)
        found = {frame.index: frame.poses[0].keypoints[0, 0] for frame in reader}
    assert found == {index: joints(n, 0)[0, 0] for n, index in enumerate(indices)}


@pytest.mark.parametrize("key", ["track_id", "attributes", "instance_id"])
def test_ids_stand_in_any_of_three_fields_and_missing_ones_are_said(tmp_path: Path, key: str) -> None:
    data = coco(NAMES)
    for n, annotation in enumerate(data["annotations"]):
        annotation[key] = {"track_id": str(n % 2)} if key == "attributes" else n % 2
    del data["annotations"][0][key]
    with open_poses(put(tmp_path / "a.json", data)) as reader:
        found = [[pose.track_id for pose in frame.poses] for frame in reader]
        assert any("1 of 10 people have no track id" in line for line in reader.warnings)
    assert found == [[2, 1], *[[0, 1]] * 4]  # 0 is somebody else's, if not in that frame


# --- which annotations are people ----------------------------------------------------------------------------------

Change = Callable[[Data], None]


def _ball_first(data: Data) -> None:
    data["categories"].insert(0, {"id": 5, "name": "ball"})
    data["annotations"].append({"id": 99, "image_id": 100, "category_id": 5, "bbox": "round", "keypoints": [None]})


def _person_is_zero(data: Data) -> None:
    data["categories"][0]["id"] = 0
    for annotation in data["annotations"]:
        annotation["category_id"] = 0


def _text_ids(data: Data) -> None:
    for image in data["images"]:
        image["id"] = f"i{image['id']}"
    for annotation in data["annotations"]:
        annotation["image_id"] = f"i{annotation['image_id']}"


def _unlisted(data: Data) -> None:
    data["annotations"].append(data["annotations"][0] | {"id": 77, "image_id": 4})


def _crowd(data: Data) -> None:
    data["annotations"].append({"id": 77, "image_id": 100, "category_id": 1, "iscrowd": 1, "bbox": [0, 0, 9, 9]})


def _crowd_as_text(data: Data) -> None:
    _crowd(data)
    for annotation in data["annotations"]:
        annotation["iscrowd"] = str(annotation["iscrowd"])


def _numbers_as_text(data: Data) -> None:
    for n, image in enumerate(data["images"]):
        image |= {"frame_index": str(n), "width": str(SIZE[0]), "height": str(SIZE[1])}
    data["info"] = {"source": {"path": "/data/walk.mp4", "frames": str(FRAMES), "width": str(SIZE[0]), "height": "64"}}


def _empty(data: Data) -> None:
    data["annotations"].append({"id": 77, "image_id": 100, "category_id": 1, "keypoints": [], "bbox": [0, 0, 0, 0]})


def _unused_nonsense(data: Data) -> None:
    for entry in (*data["images"], *data["annotations"]):
        entry |= {"license": float("nan"), "date_captured": [], "caption": {"a": None}, "id_of_mine": "x"}
    data["videos"] = "none"
    data["licenses"] = [None] * 3


CHANGES: list[tuple[Change, str]] = [
    (_ball_first, "1 of category ball"),
    (_person_is_zero, ""),
    (_text_ids, ""),
    (_unlisted, "1 of images that are not listed"),
    (_crowd, "1 marking crowds"),
    (_crowd_as_text, "1 marking crowds"),
    (_numbers_as_text, ""),
    (_empty, "1 without"),
    (_unused_nonsense, ""),
]


@pytest.mark.parametrize(("change", "said"), CHANGES, ids=[change.__name__.strip("_") for change, _ in CHANGES])
def test_every_command_finds_the_same_people_and_says_what_it_leaves_out(
    tmp_path: Path, change: Change, said: str
) -> None:
    data = coco(NAMES)
    for n, annotation in enumerate(data["annotations"]):
        annotation["track_id"] = n % 2
    right = put(tmp_path / "right.json", data)
    results = [{**a, "score": 1 - n / 99} for n, a in enumerate(json.loads(right.read_text())["annotations"])]
    change(data)
    path, folder = put(tmp_path / "set" / "a.json", data), pictures(tmp_path / "pictures", NAMES)

    source = BoxesFile(path, folder_info(folder))
    assert boxes(source) == expected(0, 1)
    _is_said(said, source.warnings)
    drawn = render(folder, path, tmp_path / "o.mp4", fps=Fraction(10))
    assert (drawn.frames, drawn.people, drawn.ids) == (5, 10, (0, 1))
    _is_said(said, drawn.warnings)

    lessons = CocoKeypoints(path, COCO17, images=folder)
    assert len(lessons) == 10
    for n in range(10):
        example = lessons.example(n, 1)
        assert example.joints == pytest.approx(joints(n // 2, n % 2)) and example.weight.tolist() == [1] * 17
        assert [*example.box[:2], *(example.box[2:] - example.box[:2])] == pytest.approx(box(n // 2, n % 2))
    _is_said(said, lessons.warnings)

    scenes, _, left_out = load_pictures(path, 200, folder)
    assert [picture.people[:, 0].tolist() for picture in scenes] == [
        pytest.approx([box(n, 0)[0], box(n, 1)[0]]) for n in range(5)
    ]
    assert sum(len(picture.ignore) for picture in scenes) == (change in (_crowd, _crowd_as_text))
    _is_said("" if change in (_crowd, _crowd_as_text) else said, left_out)

    if change is _text_ids:
        results = [entry | {"image_id": f"i{entry['image_id']}"} for entry in results]
    if change is _person_is_zero:
        results = [entry | {"category_id": 0} for entry in results]
    pytest.importorskip("pycocotools")
    report = evaluate_files(path, put(tmp_path / "results.json", results), "coco")
    assert report["stats"]["AP"] == pytest.approx(1)
    _is_said("" if change in (_crowd, _crowd_as_text) else said, report["warnings"])


def _is_said(words: str, lines: Any) -> None:
    told = [line for line in lines if "left out" in line]
    assert len(told) == bool(words) and all(words in line for line in told), lines


def test_of_several_categories_with_keypoints_the_one_called_person_counts(tmp_path: Path) -> None:
    data = coco(NAMES)
    data["categories"].insert(0, {"id": 2, "name": "dog", "keypoints": ["tail", "nose"]})
    assert read_coco(put(tmp_path / "a.json", data)).people.name == "person"
    data["categories"][1]["name"] = "cat"
    path = put(tmp_path / "a.json", data)
    for read in (read_coco, open_poses, lambda path: CocoKeypoints(path, COCO17), lambda path: load_pictures(path, 99)):
        with pytest.raises(InputError, match="One of them should be called person; it has 'dog', 'cat'"):
            read(path)


def test_where_nothing_is_left_the_error_says_why(tmp_path: Path) -> None:
    data = coco(NAMES)
    for annotation in data["annotations"]:
        annotation["category_id"] = 9
    path, folder = put(tmp_path / "a.json", data), pictures(tmp_path / "pictures", NAMES)
    for read in (
        open_poses,
        lambda path: CocoKeypoints(path, COCO17, images=folder),
        lambda path: load_pictures(path, 99, folder),
        lambda path: Truth(path, Notices()),
        lambda path: BoxesFile(path, VIDEO),
    ):
        with pytest.raises(InputError, match=r"person.*\(10 annotations are left out: 10 of category 9\)"):
            read(path)


# --- boxes and numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bbox", [..., None, [], [0, 0, 0, 0]])
@pytest.mark.parametrize("outline", [True, False])
def test_a_missing_box_is_made_of_joints_or_outline(tmp_path: Path, bbox: Any, outline: bool) -> None:
    data = coco(NAMES[:1])
    for annotation in data["annotations"]:
        annotation["bbox"] = bbox
        annotation["area"] = 0
        if bbox is ...:
            del annotation["bbox"], annotation["area"]
        if outline:
            annotation |= {"keypoints": [], "num_keypoints": 0}
    path, folder = put(tmp_path / "a.json", data), pictures(tmp_path, NAMES[:1])
    points = joints(0, 1)
    low, high = points.min(axis=0), points.max(axis=0)
    grown = (high - low) * 0.15
    x, y, w, h = box(0, 1)
    want = [x, y, x + w, y + h] if outline else [*(low - grown), *(high + grown)]
    (picture,), _, _ = load_pictures(path, 200)
    assert picture.people[1].tolist() == pytest.approx(want)
    with open_poses(path) as reader:
        (frame,) = reader
    assert frame.poses[1].box.tolist() == pytest.approx(want)
    if not outline:
        assert CocoKeypoints(path, COCO17).example(1, 1).box.tolist() == pytest.approx(want)
        truth = Truth(path, Notices()).data["annotations"][1]
        assert truth["bbox"] == pytest.approx([*want[:2], want[2] - want[0], want[3] - want[1]])
        assert truth["area"] == pytest.approx((want[2] - want[0]) * (want[3] - want[1]))
    assert folder


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), "5", True])
def test_a_coordinate_that_is_no_number_is_named(tmp_path: Path, value: Any) -> None:
    data = coco(NAMES)
    data["annotations"][3]["keypoints"][4] = value
    path, folder = put(tmp_path / "a.json", data), pictures(tmp_path, NAMES)
    shown = {"5": "'5'"}.get(value, json.dumps(value)) if isinstance(value, str) else json.dumps(value)
    for read in (
        open_poses,
        lambda path: CocoKeypoints(path, COCO17),
        lambda path: Truth(path, Notices()),
        lambda path: BoxesFile(path, VIDEO),
    ):
        with pytest.raises(InputError) as caught:
            read(path)
        message = str(caught.value)
        assert message.startswith(f"{path}, annotations entry 4 (id 4): 'keypoints' holds {shown}"), message
        assert "\n" not in message
    assert len(load_pictures(path, 99, folder)[0]) == 5, "a detector needs no keypoints"


def test_people_without_a_labelled_joint_teach_nothing_and_are_counted(tmp_path: Path) -> None:
    data = coco(NAMES)
    for annotation in data["annotations"][::2]:
        annotation |= {"keypoints": [0] * 51, "num_keypoints": 0}
    path, folder = put(tmp_path / "a.json", data), pictures(tmp_path, NAMES)
    lessons = CocoKeypoints(path, COCO17)
    assert len(lessons) == 5 and all(lessons.example(n, 1).weight.all() for n in range(5))
    assert lessons.warnings == [f"{path}: 5 annotations are left out: 5 without a labelled joint"]
    assert [len(people) for people in boxes(BoxesFile(path, folder_info(folder)))] == [2] * 5, "they have boxes"


# --- where pictures lie -------------------------------------------------------------------------------------------

LAYOUTS = {
    "beside": ("a.json", "{}"),
    "images": ("a.json", "images/{}"),
    "coco": ("annotations/person_keypoints_val2017.json", "val2017/{}"),
    "coco in images": ("annotations/person_keypoints_val2017.json", "images/val2017/{}"),
    "cvat": ("annotations/person_keypoints_default.json", "images/{}"),
    "cvat with subset": ("annotations/person_keypoints_default.json", "images/default/{}"),
    "fiftyone": ("labels.json", "data/{}"),
    "roboflow": ("train/_annotations.coco.json", "train/{}"),
    "elsewhere": ("a.json", "far/away/{}"),
    "elsewhere by split": ("annotations/person_keypoints_val2017.json", "far/away/val2017/{}"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("prefix", ["", "/data/walk/", "C:\\walk\\", "./", "gone/"])
def test_layouts_of_pictures_are_found(tmp_path: Path, layout: str, prefix: str) -> None:
    file, place = LAYOUTS[layout]
    pictures(tmp_path, [place.format(name) for name in NAMES])
    path = put(tmp_path / file, coco([prefix + name for name in NAMES]))
    images = tmp_path / "far/away" if layout.startswith("elsewhere") else None
    assert CocoKeypoints(path, COCO17, images=images).example(4, 1).images[0][0, 0, 0] == 60
    assert [picture.image[0, 0, 0] for picture in load_pictures(path, 99, images)[0]] == [0, 30, 60, 90, 120]
    if images:
        with pytest.raises(InputError, match=r"5 pictures are missing, first .*; name their folder with --images"):
            load_pictures(path, 99)
        with pytest.raises(InputError, match="with --images, or give --skip-missing"):
            CocoKeypoints(path, COCO17)


def test_pictures_of_the_same_name_in_several_folders_are_not_mixed_up(tmp_path: Path) -> None:
    names = ["a/1.png", "b/1.png", "c/1.png", "d/1.png", "e/1.png"]
    path = put(tmp_path / "x.json", coco(names))
    pictures(tmp_path, names)
    (tmp_path / "b" / "1.png").unlink()
    pictures(tmp_path, ["1.png"])
    with pytest.raises(InputError, match=r"1 picture is missing, first b/1\.png"):
        load_pictures(path, 99)
    lessons = CocoKeypoints(path, COCO17, skip_missing=True)
    assert len(lessons) == 8 and "2 whose picture is missing" in lessons.warnings[0]


# --- the collected cases ---------------------------------------------------------------------------------------------

COUNTS = {  # people for boxes, for training; what is said
    "right": (18, 18, ""),
    "images_reversed": (18, 18, ""),
    "ids_in_attributes": (18, 18, ""),
    "one_empty_skeleton": (17, 17, "1 annotation is left out: 1 without"),
    "absolute_names": (18, 18, ""),
    "image_ids_are_strings": (18, 18, ""),
    "no_bbox": (18, 18, ""),
    "bbox_zeros": (18, 18, ""),
    "half_without_keypoints": (18, 9, ""),
    "second_category_is_person": (18, 18, ""),
    "ball_among_people": (18, 18, "1 annotation is left out: 1 of category ball"),
}


@pytest.mark.parametrize("case", COUNTS)
def test_collected_cases_of_coco_files(tmp_path: Path, shared: Path, case: str) -> None:
    folder, path = shared / "cases" / "frames", shared / "cases" / "coco" / f"{case}.json"
    right = json.loads((path.parent / "right.json").read_text())
    (people, taught, said), info = COUNTS[case], folder_info(folder)
    want: dict[int, list[list[float]]] = {n: [] for n in range(6)}
    for annotation in right["annotations"]:
        want[annotation["image_id"] - 1].append(annotation["keypoints"][::3])

    for given in (folder, None):
        with open_poses(path, given) as reader:
            found = {frame.index: [pose.keypoints[:, 0].tolist() for pose in frame.poses] for frame in reader}
            assert bool(said) == any(said and said in line for line in reader.warnings)
        assert sum(map(len, found.values())) == people and sorted(found) == list(range(6))
        assert all(row in want[index] for index, rows in found.items() for row in rows if any(row))
    if case == "ids_in_attributes":
        with open_poses(path, folder) as reader:
            assert [[pose.track_id for pose in frame.poses] for frame in reader] == [[7, 8, 9]] * 6
    source = BoxesFile(path, info)
    assert sum(len(source(Frame(n, n, 0.0, np.zeros((480, 272, 3), np.uint8))).people) for n in range(6)) == people
    assert render(folder, path, tmp_path / "o.mp4", fps=Fraction(10)).people == people
    lessons = CocoKeypoints(path, COCO17, images=folder)
    assert len(lessons) == taught
    assert all(np.array([*e.box[2:] - e.box[:2]]).min() > 10 for e in (lessons.example(n, 1) for n in range(taught)))
    assert sum(len(picture.people) for picture in load_pictures(path, 400, folder)[0]) == people
    pytest.importorskip("pycocotools")
    results = [{**a, "score": 1 - n / 99} for n, a in enumerate(right["annotations"])]
    category = read_coco(path).people.id
    shift = "f" if case == "image_ids_are_strings" else ""
    results = [
        r | {"category_id": category, "image_id": f"f{r['image_id']}" if shift else r["image_id"]} for r in results
    ]
    report = evaluate_files(path, put(tmp_path / "results.json", results), "coco")
    assert report["stats"]["AP50"] == pytest.approx(1, abs=0.06)


def test_the_collected_null_coordinate_is_named(shared: Path) -> None:
    path = shared / "cases" / "coco" / "null_coordinate.json"
    for read in (open_poses, lambda path: CocoKeypoints(path, COCO17), lambda path: Truth(path, Notices())):
        with pytest.raises(InputError, match=r"annotations entry 1 \(id 1\): 'keypoints' holds null"):
            read(path)


@pytest.mark.parametrize(("name", "people"), [("one_without_bbox", 17), ("person_is_category_0", 18)])
def test_collected_cases_of_detection_files(tmp_path: Path, shared: Path, name: str, people: int) -> None:
    folder, path = shared / "cases" / "frames", shared / "cases" / "boxes" / f"{name}.json"
    scenes, _, left_out = load_pictures(path, 400, folder)
    assert sum(len(picture.people) for picture in scenes) == people
    assert len(left_out) == (people < 18)
    source = BoxesFile(path, folder_info(folder))
    assert sum(len(source(Frame(n, n, 0.0, np.zeros((480, 272, 3), np.uint8))).people) for n in range(6)) == people
    assert any("1 without joints and without a box" in line for line in source.warnings) == (people < 18)
    assert render(folder, path, tmp_path / "o.mp4", fps=Fraction(10)).people == people
    with pytest.raises(InputError, match="no person has a labelled joint"):
        Truth(path, Notices())


@pytest.mark.parametrize(("name", "people"), [("mot_nine_columns_class_0", 18), ("mot_empty", 0)])
def test_collected_cases_of_mot_files(shared: Path, name: str, people: int) -> None:
    folder = shared / "cases" / "boxes"
    with open_source(folder / "tc.mov") as reader:
        source = BoxesFile(folder / f"{name}.txt", reader.info)
        assert sum(len(source(frame).people) for frame in reader) == people
    assert list(source.warnings) == ([] if people else ["mot_empty.txt: there is nobody in it"])
