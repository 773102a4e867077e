"""What annotation tools give back of our tasks: Label Studio's JSON, CVAT's XML and zips."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import quoteattr

import numpy as np
import pytest

from ftpcli.annotation.conversion import convert
from ftpcli.errors import EXIT_SOME_FAILED, InputError
from ftpcli.formats import open_poses, write_poses
from ftpcli.people.sources import BoxesFile
from ftpcli.records import FramePoses, Pose, VideoInfo
from ftpcli.skeleton import PERSON19
from ftpcli.training.sources import DataSpec, open_data
from tests.support.formats_samples import SIZE, header, walk
from tests.support.tiny import Ran

WRIST = PERSON19.joints.index("left_wrist")


@pytest.fixture
def items() -> list[FramePoses]:
    return walk(8)


@pytest.fixture
def poses(tmp_path: Path, items: list[FramePoses]) -> Path:
    write_poses(tmp_path / "walk.jsonl", header(frames=8), items)
    return tmp_path / "walk.jsonl"


def read(path: Path) -> list[FramePoses]:
    with open_poses(path) as reader:
        return list(reader)


def same(found: list[FramePoses], wanted: list[FramePoses], *, confidence: bool = True) -> None:
    """Frames, ids and joints; people without a joint cannot be told."""
    assert [frame.index for frame in found] == [frame.index for frame in wanted]
    for a, b in zip(found, wanted, strict=True):
        mine = sorted(a.poses, key=lambda pose: pose.track_id)
        assert [pose.track_id for pose in mine] == [pose.track_id for pose in b.poses]
        for p, q in zip(mine, b.poses, strict=True):
            assert (p.confidence > 0).tolist() == (q.confidence > 0).tolist()
            np.testing.assert_allclose(p.keypoints[p.confidence > 0], q.keypoints[q.confidence > 0], atol=0.01)
            if confidence:
                np.testing.assert_allclose(p.confidence, q.confidence, atol=1e-9)


# --- Label Studio -------------------------------------------------------------------------------------------------


def corrected_in_label_studio(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As its JSON export: the prediction accepted as annotation, one joint moved, ids of its own, scores gone."""
    for number, task in enumerate(tasks):
        result = json.loads(json.dumps(task["predictions"][0]["result"]))
        for region in result:
            region.pop("score")
            region["origin"] = "prediction-changed"
            if region["value"].get("keypointlabels") == ["left_wrist"]:
                region["value"]["x"] = 50.0
        task |= {"id": number + 900, "project": 3, "file_upload": "x", "total_annotations": 1}
        task["annotations"] = [
            {"id": 1, "was_cancelled": True, "result": []},
            {"id": 2, "was_cancelled": False, "lead_time": 3.2, "result": result},
        ]
    return tasks


def test_label_studio_there_and_back(tmp_path: Path, poses: Path, items: list[FramePoses]) -> None:
    convert(poses, tmp_path / "task.json", "labelstudio")
    same(read(tmp_path / "task.json"), items)
    tasks = corrected_in_label_studio(json.loads((tmp_path / "task.json").read_text()))
    (tmp_path / "back.json").write_text(json.dumps(tasks))
    with open_poses(tmp_path / "back.json") as reader:
        assert reader.format == "labelstudio" and reader.timed and not reader.warnings
        assert (reader.header.source.width, reader.header.source.height) == SIZE
        found = list(reader)
    assert [(frame.index, frame.pts, frame.seconds) for frame in found] == [(f.index, f.pts, f.seconds) for f in items]
    for frame in items:
        for pose in frame.poses:
            pose.keypoints[WRIST, 0] = SIZE[0] / 2
    same(found, items, confidence=False)
    assert all(set(pose.confidence) <= {0.0, 1.0} for frame in found for pose in frame.poses)


def test_label_studio_asks_for_the_file_that_is_there(tmp_path: Path, items: list[FramePoses]) -> None:
    """Names of pictures are parts of addresses there."""
    name = "a+b #1 & 50%20 ü?.mp4"
    write_poses(tmp_path / "a.jsonl", header(path=name, frames=len(items)), items)
    convert(tmp_path / "a.jsonl", tmp_path / "task.json", "labelstudio")
    tasks = json.loads((tmp_path / "task.json").read_text())
    for task, frame in zip(tasks, items, strict=True):
        (path,) = parse_qs(urlsplit(task["data"]["image"]).query)["d"]
        assert path == f"{PurePath(name).stem}/{frame.index:08d}.jpg"
        for key in ("frame_index", "pts", "seconds"):
            del task["data"][key]
    (tmp_path / "task.json").write_text(json.dumps(tasks[3:]))
    with open_poses(tmp_path / "task.json", tmp_path / name) as reader:
        assert not [line for line in reader.warnings if "frames" in line]
        same(list(reader), items[3:])


def test_what_label_studio_holds_besides_is_counted(tmp_path: Path, poses: Path) -> None:
    convert(poses, tmp_path / "task.json", "labelstudio")
    tasks = json.loads((tmp_path / "task.json").read_text())
    result = next(task["predictions"][0]["result"] for task in tasks if task["predictions"][0]["result"])
    loose = json.loads(json.dumps(result[1])) | {"parentID": "nobody"}
    toe = json.loads(json.dumps(result[1]))
    toe["value"]["keypointlabels"] = ["left_toe"]
    result += [loose, toe, {"id": "b", "type": "brushlabels"}]
    (tmp_path / "task.json").write_text(json.dumps(tasks))
    with open_poses(tmp_path / "task.json") as reader:
        (line,) = reader.warnings
        assert "3 annotations are left out" in line and "left_toe" in line and "no person" in line
    (tmp_path / "null.json").write_text(json.dumps([None, *tasks, None, {"id": 3}]))
    with open_poses(tmp_path / "null.json") as reader:
        assert len(list(reader)) == len(tasks) and "3 where a task should stand" in reader.warnings[0]
    broken = json.loads(json.dumps(tasks))
    next(t for t in broken if t["predictions"][0]["result"])["predictions"][0]["result"][0]["original_width"] = 0
    (tmp_path / "broken.json").write_text(json.dumps(broken))
    with pytest.raises(InputError, match="original_width"):
        open_poses(tmp_path / "broken.json")


# --- CVAT ---------------------------------------------------------------------------------------------------------


def points(pose: Pose, **more: object) -> str:
    rest = "".join(f' {key}="{value}"' for key, value in more.items())
    return "".join(
        f'<points label="{joint}" outside="{int(c <= 0)}" occluded="0"{rest} points="{x:.2f},{y:.2f}"></points>'
        for joint, (x, y), c in zip(PERSON19.joints, pose.keypoints, pose.confidence, strict=True)
    )


def cvat_for_video(items: list[FramePoses], size: int, *, more: str = "", task: str = "") -> str:
    """As CVAT's "CVAT for video 1.1": a track a person, with every frame of it. ``more``: other tracks; ``task``: of a
    project that has a second one."""
    tracks: dict[int, list[tuple[int, Pose]]] = {}
    for frame in items:
        for pose in frame.poses:
            tracks.setdefault(pose.track_id, []).append((frame.index, pose))
    more_of = ' task_id="{}"' if task else ""
    body = "".join(
        f'<track id="{track}" label="person" source="manual"{more_of.format(1 + track % 2)}>'
        + "".join(
            f'<skeleton frame="{n}" keyframe="1" z_order="0">{points(pose, keyframe=1)}</skeleton>' for n, pose in mine
        )
        + "</track>"
        for track, mine in tracks.items()
    )
    meta = (
        f"<meta><task><id>7</id><name>t</name><size>{size}</size><mode>interpolation</mode><labels><label>"
        "<name>person</name><type>skeleton</type></label></labels>"
        f"<original_size><width>{SIZE[0]}</width><height>{SIZE[1]}</height></original_size>"
        "<source>walk in park.mp4</source></task></meta>"
    )
    if task:
        meta = (
            f"<meta><project><tasks>{meta[6:-7]}{meta[6:-7].replace('walk in park.mp4', task)}</tasks></project></meta>"
        )
        meta = meta.replace("<id>7</id>", "<id>1</id>", 1).replace("<id>7</id>", "<id>2</id>")
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>{meta}{body}{more}</annotations>'
    )


def cvat_for_images(items: list[FramePoses]) -> str:
    """As CVAT's "CVAT for images 1.1"."""
    body = ""
    for frame in items:
        name = quoteattr(f"walk in park/{frame.index:08d}.jpg")
        body += f'<image id="{frame.index}" name={name} width="{SIZE[0]}" height="{SIZE[1]}">'
        for pose in frame.poses:
            attribute = f'<attribute name="track_id">{pose.track_id}</attribute>'
            body += f'<skeleton label="person" source="manual" z_order="0">{points(pose)}{attribute}</skeleton>'
        body += "</image>"
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta/>{body}</annotations>'


@pytest.mark.parametrize("form", ["video", "images"])
def test_cvat_xml(tmp_path: Path, items: list[FramePoses], form: str) -> None:
    text = cvat_for_video(items, len(items)) if form == "video" else cvat_for_images(items)
    with zipfile.ZipFile(tmp_path / "task.zip", "w") as task:
        task.writestr("annotations.xml", text)
    with open_poses(tmp_path / "task.zip") as reader:
        assert reader.format == "cvat" and reader.path == str(tmp_path / "task.zip")
        assert (reader.header.source.width, reader.header.source.height) == SIZE
        assert reader.header.source.path == ("walk in park.mp4" if form == "video" else None)
        same(list(reader), items, confidence=False)
    (tmp_path / "annotations.xml").write_text(text)
    same(read(tmp_path / "annotations.xml"), items, confidence=False)


def box_track(label: str, track: int = 90, low: int = 10) -> str:
    box = 'keyframe="1" outside="{}" occluded="0" xtl="{}" ytl="20" xbr="60.5" ybr="90" z_order="0"'
    frames = "".join(f'<box frame="{n}" {box.format(int(n > 2), low)}></box>' for n in range(4))
    return f'<track id="{track}" label="{label}" source="manual">{frames}</track>'


def test_people_are_told_from_other_labels_by_name(tmp_path: Path, items: list[FramePoses]) -> None:
    first = next(frame for frame in items if frame.poses)
    horse = cvat_for_video([first], 8).partition("</meta>")[2].removesuffix("</annotations>")
    horse = horse.replace('label="person"', 'label="horse"').replace('label="nose"', 'label="muzzle"')
    path = tmp_path / "annotations.xml"
    path.write_text(cvat_for_video(items, 8, more=horse + box_track("car")))
    with open_poses(path) as reader:
        same(list(reader), items, confidence=False)
        (line,) = reader.warnings
        assert f"{len(first.poses)} of category horse" in line and "3 of category car" in line
        assert "unknown" not in line, "nobody asks for the joints of horses"
    path.write_text(path.read_text().replace('label="person"', 'label="cow"'))
    with pytest.raises(InputError, match="One of them should be called person; it has 'cow', 'horse', 'car'"):
        open_poses(path)


def test_boxes_are_people_without_joints(tmp_path: Path) -> None:
    path = tmp_path / "annotations.xml"
    path.write_text(cvat_for_video([], 8, more=box_track("person") + box_track("person", 91, low=70)))
    with open_poses(path) as reader:
        assert [[pose.track_id for pose in frame.poses] for frame in reader] == [[90]] * 3 + [[]] * 5
        assert next(iter(reader)).poses[0].box.tolist() == [10, 20, 60.5, 90]
        assert "3 without joints and without a box" in reader.warnings[0]
    path.write_text(cvat_for_video([], 8, more=box_track("person", low=70)))
    with pytest.raises(InputError, match="no person is left"):
        open_poses(path)


def test_a_project_of_two_videos_is_refused(tmp_path: Path, items: list[FramePoses]) -> None:
    path = tmp_path / "annotations.xml"
    path.write_text(cvat_for_video(items, 8, task="run.mp4"))
    with pytest.raises(InputError, match=r"several videos \(walk in park\.mp4, run\.mp4\)"):
        open_poses(path)


@pytest.mark.parametrize("form", ["zip", "xml", "coco"])
def test_boxes_are_taken_of_any_form_by_content(
    tmp_path: Path, poses: Path, items: list[FramePoses], form: str
) -> None:
    path = tmp_path / "boxes.txt"
    if form == "xml":
        path.write_text(cvat_for_video(items, 8))
    else:
        convert(poses, tmp_path / form, "cvat" if form == "zip" else "coco")
        (tmp_path / form).rename(path)
    info = VideoInfo("walk.mp4", *SIZE, 0, Fraction(1, 25), Fraction(25), 8, 0.3, 0.0, "h264", False)
    people = BoxesFile(path, info)
    assert people.kind == "poses" and people.last == max(frame.index for frame in items if frame.poses)
    convert(poses, tmp_path / "mot.json.txt", "mot")
    assert BoxesFile(tmp_path / "mot.json.txt", info).kind == "mot"
    with pytest.raises(InputError, match=r"people in frame \d, counted from 0, but walk.mp4 has 1 frames"):
        BoxesFile(path if form == "xml" else tmp_path / "mot.json.txt", replace(info, frames=1))


def test_our_own_task_is_read(tmp_path: Path, poses: Path, items: list[FramePoses]) -> None:
    convert(poses, tmp_path / "task.zip", joints="all")
    same(read(tmp_path / "task.zip"), items)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"PK\x03\x04 and nothing more", "zip"),
        (b"<annotations><track id='1' label='a'><skel", "damaged"),
        (b"<html></html>", "no skeletons"),
        (b"<annotations><track id='1'><skeleton frame='x'/></track></annotations>", "'x'"),
        (
            b"<annotations><track id='1'><skeleton frame='0'><points label='nose' points='a,b'/></skeleton></track>"
            b"</annotations>",
            "not a point",
        ),
    ],
)
def test_damaged_exports_are_one_line(tmp_path: Path, command: Callable[..., Ran], content: bytes, says: str) -> None:
    (tmp_path / "in").write_bytes(content)
    run = command("convert", tmp_path / "in", tmp_path / "out.csv")
    assert run.code == EXIT_SOME_FAILED and len(run.lines) == 1 and says in run.err and "in" in run.err
    assert not (tmp_path / "out.csv").exists()


def test_a_zip_with_two_annotation_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "task.zip", "w") as task:
        for name in ("annotations/a.json", "annotations/b.json"):
            task.writestr(name, "{}")
    with pytest.raises(InputError, match=r"a.json, annotations/b.json"):
        open_poses(tmp_path / "task.zip")


def test_a_task_of_some_frames_comes_back_to_its_frames(tmp_path: Path, command: Callable[..., Ran]) -> None:
    """A tool gives back the pictures' names only, and the first frame of the task is not the video's first."""
    from ftpcli.video import open_source
    from tests.support.training_data import make_clips

    make_clips(tmp_path, clips=1, frames=9)
    video = tmp_path / "0.mp4"
    with open_source(video) as reader:
        about, times = reader.info, [(frame.index, frame.pts, frame.seconds) for frame in reader]
    box, points = np.array([20.0, 30, 120, 180]), np.linspace(30, 150, 38).reshape(19, 2)
    items = [
        FramePoses(*t, (Pose(7, box, 1.0, points + t[0], np.full(19, 0.1 if t[0] in (1, 6) else 0.9)),)) for t in times
    ]
    known = header(
        path="0.mp4", width=about.width, height=about.height, time_base=about.time_base, rotation=0, frames=9
    )
    write_poses(tmp_path / "0.jsonl", known, items)
    task = ("convert", tmp_path / "0.jsonl", tmp_path / "task.zip", "--video", video, "--suggest", 2, "--joints", "all")
    assert command(*task).code == 0
    with zipfile.ZipFile(tmp_path / "task.zip") as archive:
        data = json.loads(archive.read("annotations/person_keypoints_default.json"))
    for image in data["images"]:
        for key in ("frame_index", "pts", "seconds", "video_id"):
            del image[key]
    del data["info"], data["videos"]
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("annotations/person_keypoints_default.json", json.dumps(data))
    assert command("convert", tmp_path / "export.zip", tmp_path / "back.jsonl", "--video", video).code == 0
    found = read(tmp_path / "back.jsonl")
    assert [(f.index, f.pts, f.seconds) for f in found] == times
    assert [f.index for f in found if f.poses] == [1, 6]
    for frame in (found[1], found[6]):
        np.testing.assert_allclose(frame.poses[0].keypoints, points + frame.index, atol=0.01)


def test_corrections_are_learnt_from(tmp_path: Path) -> None:
    """The export of CVAT for a video, with the video beside it."""
    from tests.support.training_data import make_clips

    make_clips(tmp_path, clips=1, frames=5)
    person = Pose(1, np.array([20.0, 30, 120, 180]), 1.0, np.linspace(30, 150, 38).reshape(19, 2), np.ones(19))
    items = [FramePoses(n, n, float(n), (person,)) for n in range(5)]
    text = cvat_for_video(items, 5).replace("walk in park.mp4", "0.mp4")
    (tmp_path / "annotations.xml").write_text(text)
    source = open_data(DataSpec.parse(f"poses={tmp_path / 'annotations.xml'}"), PERSON19, "train")
    assert len(source) == 5
    example = source.example(2, 3)
    np.testing.assert_allclose(example.joints, person.keypoints, atol=0.01)
