"""Which frames the pictures of an annotation tool's file are, where it has nothing but their names."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ftpcli.annotation.conversion import convert
from ftpcli.datasets.pictures import find_pictures
from ftpcli.datasets.poses import open_poses
from ftpcli.drawing.rendering import render
from ftpcli.errors import InputError
from ftpcli.formats import write_poses
from ftpcli.people.sources import BoxesFile
from ftpcli.records import FramePoses, Pose
from ftpcli.skeleton import COCO17, PERSON19
from ftpcli.training.sources import CocoKeypoints, DataSpec, open_data
from ftpcli.video import open_source
from tests.datasets.test_tools import cvat_for_images
from tests.support.formats_samples import SIZE, header
from tests.support.others_files import FRAMES, Data, coco, cvat, pictures, put
from tests.support.training_data import make_clips

CHOSEN = (1, 2, 6)  # begins with 1, which is no sign of counting from 1
POINTS = np.linspace(30, 150, 38).reshape(19, 2)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    make_clips(folder, clips=1, frames=9)
    return (folder / "0.mp4").rename(folder / "walk.mp4")


def poses_of(clip: Path, out: Path) -> Path:
    """One person who moves by a pixel a frame, in the chosen frames."""
    with open_source(clip) as reader:
        about, times = reader.info, [(frame.index, frame.pts, frame.seconds) for frame in reader]
    box = np.array([20.0, 30, 120, 180])
    items = [
        FramePoses(*t, (Pose(7, box, 1.0, POINTS + t[0], np.full(19, 0.9)),) if t[0] in CHOSEN else ()) for t in times
    ]
    known = header(
        path=clip.name, width=about.width, height=about.height, time_base=about.time_base, rotation=0, frames=9
    )
    write_poses(out, known, items)
    return out


def names_alone(task: Path, out: Path, rename: Callable[[str], str]) -> Path:
    """Of our task for CVAT, what its COCO export keeps: the chosen pictures by name."""
    with zipfile.ZipFile(task) as archive:
        data = json.loads(archive.read("annotations/person_keypoints_default.json"))
    data["images"] = [image for image in data["images"] if image["frame_index"] in CHOSEN]
    for image in data["images"]:
        for key in ("frame_index", "pts", "seconds", "video_id"):
            del image[key]
        image["file_name"] = rename(image["file_name"])
    del data["info"], data["videos"]
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("annotations/person_keypoints_default.json", json.dumps(data))
    return out


def export(form: str, clip: Path, folder: Path) -> Path:
    poses = poses_of(clip, folder / "walk.jsonl")
    convert(poses, folder / "task.zip", "cvat", joints="all")
    if form.startswith("coco"):
        rename = {"coco": str, "coco flat": lambda name: name.replace("walk/", "walk_")}[form]
        return names_alone(folder / "task.zip", folder / "export.zip", rename)
    if form == "xml":
        with open_poses(poses) as reader:
            text = cvat_for_images([frame for frame in reader if frame.poses])
        path = folder / "annotations.xml"
        path.write_text(
            text.replace("walk in park/", "walk/").replace('width="{}" height="{}"'.format(*SIZE), _size(clip))
        )
        return path
    convert(poses, folder / "tasks.json", "labelstudio")
    tasks = json.loads((folder / "tasks.json").read_text())
    for task in tasks:
        task["data"] = {"image": task["data"]["image"]}
    return put(folder / "export.json", [task for task in tasks if task["predictions"][0]["result"]])


def _size(clip: Path) -> str:
    with open_source(clip) as reader:
        return f'width="{reader.info.width}" height="{reader.info.height}"'


@pytest.mark.parametrize("form", ["coco", "coco flat", "xml", "labelstudio"])
def test_names_are_the_frames_for_every_command(tmp_path: Path, clip: Path, form: str) -> None:
    path = export(form, clip, tmp_path)
    convert(path, tmp_path / "back.jsonl", video=clip)
    with open_poses(tmp_path / "back.jsonl") as reader:
        found = {frame.index: frame.poses[0].keypoints[0] for frame in reader if frame.poses}
    assert list(found) == list(CHOSEN)
    for index, point in found.items():
        np.testing.assert_allclose(point, POINTS[0] + index, atol=0.02)
    done = render(clip, path, tmp_path / "o.mp4", audio=False)
    assert (done.frames, done.people) == (9, 3)
    with open_source(clip) as frames:
        people = BoxesFile(path, frames.info)
        assert [frame.index for frame in frames if people(frame).people] == list(CHOSEN)
    if form != "coco flat":  # the folder names the video
        (tmp_path / "walk.mp4").symlink_to(clip)
        lessons = open_data(DataSpec.parse(f"poses={path}"), PERSON19, "train")
        np.testing.assert_allclose(lessons.example(0, 1).joints[0], POINTS[0] + CHOSEN[0], atol=0.02)


def _numbered(data: Data, key: str, numbers: list[Any]) -> Data:
    for image, number in zip(data["images"], numbers, strict=True):
        image |= {"video_id": 1} if key == "frame_id" else {}
        if number is not None:
            image[key] = number
    return data


@pytest.mark.parametrize("key", ["frame_index", "frame_id"])
def test_an_image_without_number_takes_it_from_nobody_else(tmp_path: Path, key: str) -> None:
    names = [f"f_{n}.png" for n in (7, 8, 9, 10, 11)]
    path = put(tmp_path / "a.json", _numbered(cvat(names), key, [40, 41, None, 43, 44]))
    with open_poses(path) as reader:
        assert [frame.index for frame in reader] == [40, 41, 42, 43, 44], "names are always 33 less"
        assert any(f"1 image has no {key}; 1 placed by the number" in line for line in reader.warnings)
    path = put(tmp_path / "b.json", _numbered(cvat(names), key, [40, 30, None, 20, 10]))
    with open_poses(path) as reader:
        assert [frame.index for frame in reader] == [10, 20, 30, 40]
        assert any("1 of 5 images left out, since nothing says which" in line for line in reader.warnings)
        assert any("2 of images that are left out" in line for line in reader.warnings)


NAMES = [f"{n:04d}.png" for n in range(FRAMES)]


def _cameras(tmp_path: Path, *cameras: str) -> Path:
    pictures(tmp_path / "camA", NAMES)
    return put(tmp_path / "a.json", cvat([f"/set/{cam}/{name}" for cam in cameras for name in NAMES]))


def test_of_two_cameras_those_of_the_source_count(tmp_path: Path) -> None:
    done = render(tmp_path / "camA", _cameras(tmp_path, "camB", "camA"), tmp_path / "o.mp4", fps=Fraction(10))
    assert (done.frames, done.people) == (FRAMES, 2 * FRAMES)
    assert any("5 of its 10 images are of other folders (camB) and are left out" in line for line in done.warnings)


def test_pictures_of_another_camera_are_said(tmp_path: Path) -> None:
    done = render(tmp_path / "camA", _cameras(tmp_path, "camB"), tmp_path / "o.mp4", fps=Fraction(10))
    assert any("its pictures are of a folder called camB, the source is camA" in line for line in done.warnings)
    with pytest.raises(InputError, match=r"/set/camC/0000\.png and /set/camB/0000\.png|/set/camB/0000.*camC/0000"):
        open_poses(_cameras(tmp_path, "camB", "camC"), tmp_path / "camA")


def test_that_no_name_is_in_the_folder_is_said(tmp_path: Path) -> None:
    path = put(tmp_path / "a.json", cvat([f"x{n}.png" for n in range(FRAMES)]))
    with open_poses(path, pictures(tmp_path / "camA", NAMES)) as reader:
        assert any("none of the names of its 5 images is in the folder camA" in line for line in reader.warnings)


def test_two_pictures_of_one_name_stay_two(tmp_path: Path) -> None:
    """In training and evaluation, by the ends of their absolute names."""
    names = {n: f"/set/{cam}/0000.png" for n, cam in enumerate("ab")}
    path = tmp_path / "a.json"
    pictures(tmp_path, ["0000.png"])
    assert find_pictures(path, names) == {0: None, 1: None}
    pictures(tmp_path, ["a/0000.png", "b/0000.png"])
    assert find_pictures(path, names) == {n: tmp_path / cam / "0000.png" for n, cam in enumerate("ab")}
    put(path, coco(list(names.values())))
    assert len(CocoKeypoints(path, COCO17)) == 4
    with pytest.raises(InputError, match="would both be the picture"):
        find_pictures(path, {0: "/x/a/0000.png", 1: "/y/a/0000.png"})


def test_predictions_are_paired_by_name_and_folder(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    from ftpcli.evaluation.files import evaluate_files

    truth = put(tmp_path / "truth.json", coco(["/mine/a/0.png", "/mine/b/0.png"]))
    data = coco(["/theirs/b/0.png", "/theirs/a/0.png"])
    for annotation in data["annotations"]:
        annotation["image_id"] = 201 - annotation["image_id"]
    report = evaluate_files(truth, put(tmp_path / "found.json", data), "coco")
    assert report["stats"]["AP"] == pytest.approx(1)


def test_an_image_without_a_name_leaves_the_others_theirs(tmp_path: Path) -> None:
    """The places in the list are those of no frames, and nobody knows whose the nameless picture is."""
    names = [f"walk/{number:08d}.jpg" for number in (5, 3, 7, 0, 4)]
    data = coco(names)
    del data["images"][1]["file_name"]
    with open_poses(put(tmp_path / "a.json", data), tmp_path / "walk.mp4") as reader:
        assert [frame.index for frame in reader] == [0, 4, 5, 7]
        assert reader.warnings[0] == "1 image has no name and is left out"
    items = [FramePoses(n, n, float(n), (Pose(1, np.array([1.0, 2, 9, 9]), 1.0, POINTS, np.ones(19)),)) for n in (2, 6)]
    text = re.sub(r' (width|height)="\d+"', "", cvat_for_images(items))
    (tmp_path / "a.xml").write_text(text.replace(' name="walk in park/00000002.jpg"', ""))
    with open_poses(tmp_path / "a.xml") as reader:
        assert [frame.index for frame in reader] == [6] and reader.header.source.width is None
