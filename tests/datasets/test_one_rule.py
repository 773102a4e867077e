"""What one command refuses or says of a COCO file, all of them do."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftpcli.datasets.coco import read_coco
from ftpcli.datasets.poses import open_poses
from ftpcli.datasets.scenes import load_pictures
from ftpcli.drawing.rendering import render
from ftpcli.errors import InputError
from ftpcli.evaluation.coco_files import Truth
from ftpcli.evaluation.files import evaluate_files
from ftpcli.evaluation.notices import Notices
from ftpcli.formats import write_poses
from ftpcli.people.sources import BoxesFile, check_boxes
from ftpcli.skeleton import COCO17
from ftpcli.training.sources import CocoKeypoints
from tests.datasets.test_coco import NAMES, VIDEO
from tests.support.formats_samples import frames, header
from tests.support.others_files import SIZE, Data, coco, cvat, pictures, put

Read = Callable[[Path], Any]
READERS: dict[str, Read] = {
    "boxes": lambda path: BoxesFile(path, VIDEO),
    "poses": open_poses,
    "train": lambda path: CocoKeypoints(path, COCO17),
    "eval": lambda path: Truth(path, Notices()),
}
#: These open the pictures.
PICTURES: dict[str, Read] = {
    "train": READERS["train"],
    "detector": lambda path: load_pictures(path, 200),
    "render": lambda path: render(path.parent, path, path.with_suffix(".mp4"), fps=10),  # type: ignore[arg-type]
}


def _no_categories(data: Data) -> None:
    data["categories"] = []


def _no_list_of_categories(data: Data) -> None:
    del data["categories"]


def _no_names(data: Data) -> None:
    del data["categories"][0]["keypoints"]


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize("change", [_no_categories, _no_list_of_categories, _no_names])
def test_joints_without_names_are_refused(tmp_path: Path, read: Read, change: Callable[[Data], None]) -> None:
    data = coco(NAMES)
    change(data)
    path = put(pictures(tmp_path, NAMES) / "a.json", data)
    with pytest.raises(InputError, match=r"a\.json: no category names its keypoints.*list their names"):
        read(path)


@pytest.mark.parametrize("change", [_no_categories, _no_list_of_categories, _no_names])
def test_boxes_need_no_names_of_joints(tmp_path: Path, change: Callable[[Data], None]) -> None:
    data = coco(NAMES)
    change(data)
    for annotation in data["annotations"]:
        del annotation["keypoints"]
    path = put(pictures(tmp_path, NAMES) / "a.json", data)
    scenes, _, said = load_pictures(path, 200)
    assert [len(picture.people) for picture in scenes] == [2] * 5 and not said
    with open_poses(path) as reader:
        assert [len(frame.poses) for frame in reader] == [2] * 5


@pytest.mark.parametrize("read", PICTURES.values(), ids=PICTURES)
def test_pictures_of_another_size_are_refused(tmp_path: Path, read: Read) -> None:
    data = coco(NAMES)
    for image in data["images"]:
        image["width"] = 2 * SIZE[0]
    path = put(pictures(tmp_path, NAMES) / "a.json", data)
    with pytest.raises(InputError, match=r"192x64.*96x64|96x64.*192x64"):
        read(path)


@pytest.mark.parametrize("read", PICTURES.values(), ids=PICTURES)
def test_a_picture_that_stands_twice_is_refused(tmp_path: Path, read: Read) -> None:
    data = coco(NAMES)
    data["images"][1]["file_name"] = data["images"][0]["file_name"]
    path = put(pictures(tmp_path, NAMES) / "a.json", data)
    with pytest.raises(InputError, match=r"stands twice; (make it one image|give it a single entry)"):
        read(path)


@pytest.mark.parametrize("name", ["train", "detector"])
def test_an_image_without_file_name_is_no_missing_picture(tmp_path: Path, name: str) -> None:
    data = coco(NAMES)
    del data["images"][2]["file_name"]
    path = put(pictures(tmp_path, NAMES) / "a.json", data)
    with pytest.raises(InputError, match="1 image has no 'file_name', so that their pictures cannot be found"):
        PICTURES[name](path)


@pytest.mark.parametrize("value", ["1", 1.0])
def test_categories_and_images_as_text_are_the_same(tmp_path: Path, value: Any) -> None:
    data = cvat(NAMES)
    for annotation in data["annotations"]:
        annotation |= {"category_id": value, "image_id": type(value)(annotation["image_id"])}
    path = put(pictures(tmp_path, NAMES) / "a.json", data)
    with open_poses(path) as reader:
        assert [len(frame.poses) for frame in reader] == [2] * 5
    assert len(CocoKeypoints(path, COCO17)) == 10 and len(Truth(path, Notices()).people) == 10


def test_nobody_in_a_file_is_said(tmp_path: Path) -> None:
    path = put(pictures(tmp_path, NAMES) / "a.json", coco(NAMES) | {"annotations": []})
    done = render(tmp_path, path, tmp_path / "o.mp4", fps=10)  # type: ignore[arg-type]
    assert done.frames == 5 and f"{path}: there is nobody in it" in done.warnings
    _, _, said = load_pictures(path, 200)
    assert said == [f"{path}: there is nobody in it: all of its pictures count as background"]


def test_track_ids_that_are_text_get_numbers_beyond_the_others(tmp_path: Path) -> None:
    data = coco(NAMES)
    for n, annotation in enumerate(data["annotations"]):
        annotation["attributes"] = {"track_id": 4 if n % 2 else "person_a"}
    data["annotations"][0]["attributes"]["track_id"] = "person_b"
    with open_poses(put(tmp_path / "a.json", data)) as reader:
        assert [[pose.track_id for pose in frame.poses] for frame in reader] == [[5, 4], *[[6, 4]] * 4]
        assert any("person_b is 5, person_a is 6" in line for line in reader.warnings)


def test_people_without_ids_have_nothing_in_common_from_frame_to_frame(tmp_path: Path) -> None:
    """Else windows, smoothing and second looks would take one person for another."""
    data = coco(NAMES)
    del data["annotations"][0]
    with open_poses(put(tmp_path / "a.json", data)) as reader:
        found = [pose.track_id for frame in reader for pose in frame.poses]
        assert any("says nothing of who is who" in line for line in reader.warnings)
    assert len(set(found)) == 9


# --- messages ---------------------------------------------------------------------------------------------------------


def test_a_cut_document_names_its_end(tmp_path: Path) -> None:
    whole = json.dumps(coco(NAMES))
    path = tmp_path / "a.json"
    for end in range(len(whole) // 3, len(whole) - 1, 997):
        path.write_text(whole[:end])
        for read in READERS.values():
            with pytest.raises(InputError, match=rf"the file ends .*at character ({end}|{end + 1})$"):
                read(path)


FOREIGN = {
    "gzip": (lambda text: gzip.compress(text.encode()), "compressed with gzip; unpack it first"),
    "utf-16": (lambda text: text.encode("utf-16"), "in UTF-16; save it as UTF-8"),
    "latin-1": (lambda text: text.replace("walk", "gehül").encode("latin-1"), "not text in UTF-8; save it"),
    "zip": (lambda text: b"PK\x03\x04\xff" + text.encode(), "is a zip archive; unpack it first|the zip cannot be read"),
}


@pytest.mark.parametrize("form", ["coco", "jsonl", "mot"])
@pytest.mark.parametrize(("encode", "words"), FOREIGN.values(), ids=FOREIGN)
def test_text_in_another_form_names_the_next_step(tmp_path: Path, form: str, encode: Any, words: str) -> None:
    path = tmp_path / {"coco": "a.json", "jsonl": "a.jsonl", "mot": "a.txt"}[form]
    text = json.dumps(coco(["walk.png"])) if form == "coco" else "# walk\n1,1,2,3,4,5\n"
    if form == "jsonl":
        write_poses(path, header(path="walk.mp4"), frames())
        text = path.read_text()
    path.write_bytes(encode(text))
    with pytest.raises(InputError, match=words):
        check_boxes(path)


def test_a_missing_file_and_a_folder_are_worded_alike(tmp_path: Path) -> None:
    for read in (*READERS.values(), check_boxes, lambda path: evaluate_files(path, path, "coco")):
        with pytest.raises(InputError, match=r"none\.json: no such file or folder$"):
            read(tmp_path / "none.json")
    for read in (*READERS.values(), check_boxes):
        with pytest.raises(InputError, match="is a folder; name a file"):
            read(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    """Opening one waits for a writer, and what was read to tell the form could not be read again."""
    os.mkfifo(tmp_path / "pipe")
    for read in (*READERS.values(), check_boxes):
        with pytest.raises(InputError, match="pipe: is not a plain file; save it to one"):
            read(tmp_path / "pipe")


def test_json_lines_given_for_coco_are_called_so(tmp_path: Path) -> None:
    write_poses(tmp_path / "a.jsonl", header(path="walk.mp4"), frames())
    with pytest.raises(InputError, match="ftp convert makes COCO of JSON Lines"):
        read_coco(tmp_path / "a.jsonl")


def test_two_people_of_one_id_are_named(tmp_path: Path) -> None:
    data = cvat(NAMES)
    for annotation in data["annotations"]:
        annotation["attributes"]["track_id"] = 7
    with (
        open_poses(put(tmp_path / "a.json", data)) as reader,
        pytest.raises(InputError, match="two people of frame 0 have the track id 7; give everybody"),
    ):
        list(reader)
