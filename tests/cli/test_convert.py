"""``ftp convert``: options, refusals, pictures, and what it says."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ftpcli.choices import Format
from ftpcli.errors import EXIT_SOME_FAILED, EXIT_USAGE
from ftpcli.formats import SINKS, open_poses, write_poses
from ftpcli.records import FramePoses, Pose
from ftpcli.skeleton import ANGLES, COCO17, PERSON19, joint_angles
from ftpcli.video import open_source
from tests.support.formats_samples import READABLE, WRITABLE, assert_same, frames, header
from tests.support.others_files import put
from tests.support.tiny import Ran
from tests.support.training_data import make_clips

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 6


@pytest.fixture
def poses(tmp_path: Path) -> Path:
    write_poses(tmp_path / "in.jsonl", header(), frames(8))
    return tmp_path / "in.jsonl"


@pytest.fixture
def filmed(tmp_path: Path) -> tuple[Path, Path]:
    """A video, and poses of some of its frames."""
    make_clips(tmp_path, clips=1, frames=FRAMES)
    video = tmp_path / "0.mp4"
    with open_source(video) as reader:
        seen = [(frame.index, frame.pts, frame.seconds) for frame in reader]
        info = reader.info
    person = Pose(4, np.array([20.0, 30, 80, 150]), 0.9, np.linspace(30, 140, 38).reshape(19, 2), np.full(19, 0.8))
    items = [FramePoses(*one, (person,)) for one in seen[::2]]
    head = header(
        path="0.mp4",
        width=info.width,
        height=info.height,
        time_base=info.time_base,
        rotation=info.rotation,
        frames=FRAMES,
    )
    write_poses(tmp_path / "0.jsonl", head, items)
    return video, tmp_path / "0.jsonl"


def test_no_model_is_loaded(tmp_path: Path, poses: Path) -> None:
    code = (
        "import sys; sys.argv = ['ftp', 'convert', *sys.argv[1:]]\n"
        "from ftpcli.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = {'torch', 'ultralytics', 'timm', 'pandas', 'scipy'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    words = [sys.executable, "-c", code, str(poses), str(tmp_path / "a.csv")]
    run = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "a.csv").read_text().startswith("frame,seconds,track,joint,x,y,confidence\n")


@pytest.mark.parametrize("first", READABLE)
@pytest.mark.parametrize("second", READABLE)
def test_every_form_that_is_read_is_converted(
    tmp_path: Path, command: Callable[..., Ran], first: str, second: str
) -> None:
    write_poses(tmp_path / "in", header(), frames(8), first)
    run = command("convert", tmp_path / "in", tmp_path / "out.json", "--to", second)
    assert run.code == 0, run.err
    with open_poses(tmp_path / "in") as before, open_poses(tmp_path / "out.json") as after:
        assert after.format == second
        assert after.header.source == before.header.source
        (step,) = after.header.run.steps
        assert {"command": "convert", "from": first, "to": second}.items() <= step.items()
        for a, b in zip(before, after, strict=True):
            assert (a.index, a.pts, a.seconds) == (b.index, b.pts, b.seconds)
            assert [p.track_id for p in a.poses] == [p.track_id for p in b.poses]
            at = [
                (before.header.joints.index(j), n)
                for n, j in enumerate(after.header.joints)
                if j in before.header.joints and not j.endswith("_ear")
            ]
            for p, q in zip(a.poses, b.poses, strict=True):
                for m, n in at:
                    np.testing.assert_allclose(p.keypoints[m], q.keypoints[n], atol=0.001)


def test_there_and_back(tmp_path: Path, command: Callable[..., Ran], poses: Path) -> None:
    assert command("convert", poses, tmp_path / "a.json", "--joints", "all").code == 0
    assert command("convert", tmp_path / "a.json", tmp_path / "b.jsonl").code == 0
    with open_poses(poses) as before, open_poses(tmp_path / "b.jsonl") as after:
        assert after.header.joints == PERSON19.joints and len(after.header.run.steps) == 2
        assert_same(after, before, 0.002)


def test_what_a_form_cannot_hold_is_said(tmp_path: Path, command: Callable[..., Ran], poses: Path) -> None:
    run = command("convert", poses, tmp_path / "a.txt")
    assert run.code == 0 and run.lines == [
        f"ftp: warning: {tmp_path}/a.txt: mot files do not hold joints and times",
        f"ftp: warning: {tmp_path}/a.txt: left out, because mot files cannot hold them: 3 frames without people",
        f"{tmp_path}/a.txt: 8 frames, {sum(len(f.poses) for f in frames(8))} poses as mot",
    ]
    filled = [replace(f, poses=tuple(replace(pose, filled=True) for pose in f.poses[:1])) for f in frames(8)]
    write_poses(tmp_path / "filled.jsonl", header(), filled)
    assert "5 marks of people as filled in" in command("convert", tmp_path / "filled.jsonl", tmp_path / "b.csv").err
    assert "head_top" in command("convert", poses, tmp_path / "a.json").err
    assert command("convert", poses, tmp_path / "b.json", "--joints", "all", "--quiet").err == ""


def test_people_and_frames_can_be_chosen(tmp_path: Path, command: Callable[..., Ran], poses: Path) -> None:
    track = next(pose.track_id for frame in frames(8) for pose in frame.poses)
    assert command("convert", poses, tmp_path / "a.jsonl", "--ids", track, "--every", 3).code == 0
    with open_poses(tmp_path / "a.jsonl") as reader:
        found = list(reader)
    assert [frame.index for frame in found] == [0, 3, 6]
    assert {pose.track_id for frame in found for pose in frame.poses} <= {track}
    assert "has nobody with id 77" in command("convert", poses, tmp_path / "b.jsonl", "--ids", "77").err


def test_times_of_a_file_without_any(tmp_path: Path, command: Callable[..., Ran]) -> None:
    images = [{"id": n, "file_name": f"a/{n:04d}.jpg", "width": 64, "height": 48} for n in range(3)]
    person = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [9, 9, 2] * 17, "bbox": [1, 2, 30, 40]}
    category = {"id": 1, "name": "person", "keypoints": list(COCO17.joints)}
    foreign = put(tmp_path / "a.json", {"images": images, "annotations": [person], "categories": [category]})
    refused = command("convert", foreign, tmp_path / "a.trc")
    assert refused.code == EXIT_SOME_FAILED and "--fps" in refused.err and not (tmp_path / "a.trc").exists()
    assert command("convert", foreign, tmp_path / "a.trc", "--fps", 10).code == 0
    assert [row.split("\t")[1] for row in (tmp_path / "a.trc").read_text().splitlines()[5:]] == ["0.0", "0.1", "0.2"]
    assert command("convert", foreign, tmp_path / "b.json").code == 0
    names = [image["file_name"] for image in json.loads((tmp_path / "b.json").read_text())["images"]]
    assert names == [image["file_name"] for image in images], "its pictures are found as before"


def test_pictures_lie_where_the_output_names_them(
    tmp_path: Path, command: Callable[..., Ran], filmed: tuple[Path, Path]
) -> None:
    video, poses = filmed
    out = tmp_path / "out.json"
    run = command("convert", poses, out, "--video", video, "--frames", tmp_path / "png", "--picture", "png")
    assert run.code == 0, run.err
    images = json.loads(out.read_text())["images"]
    with open_source(video) as reader:
        for frame, image in zip(reader, images, strict=True):
            assert (image["frame_index"], image["pts"]) == (frame.index, frame.pts)
            picture = cv2.imread(str(tmp_path / "png" / image["file_name"]))
            assert np.array_equal(picture[..., ::-1], frame.image)
    foreign = json.loads(out.read_text())
    for image in foreign["images"][:2]:
        image["file_name"] = f"frame_{image['frame_index']:06d}.PNG"
    put(tmp_path / "foreign.json", foreign)
    assert command("convert", tmp_path / "foreign.json", tmp_path / "g.json", "--video", video).code == 0
    names = [image["file_name"] for image in json.loads((tmp_path / "g.json").read_text())["images"]]
    assert names == ["frame_000000.PNG", "frame_000001.PNG", *(f"0/{n:08d}.jpg" for n in range(2, FRAMES))]
    every = command("convert", poses, tmp_path / "e.json", "--video", video, "--frames", tmp_path / "e", "--every", 4)
    assert every.code == 0
    assert [p.name for p in sorted((tmp_path / "e" / "0").iterdir())] == ["00000000.jpg", "00000004.jpg"]
    again = command("convert", poses, tmp_path / "f.json", "--video", video, "--frames", tmp_path / "png")
    assert again.code == EXIT_SOME_FAILED and "not empty" in again.err and not (tmp_path / "f.json").exists()


def test_tasks_and_training_sets_hold_the_pictures(
    tmp_path: Path, command: Callable[..., Ran], filmed: tuple[Path, Path]
) -> None:
    video, poses = filmed
    assert command("convert", poses, tmp_path / "task.zip", "--video", video).code == 0
    with zipfile.ZipFile(tmp_path / "task.zip") as task:
        names = [name for name in task.namelist() if name.endswith(".jpg")]
        images = json.loads(task.read("annotations/person_keypoints_default.json"))["images"]
    assert names == [f"images/default/{image['file_name']}" for image in images] and len(names) == FRAMES
    assert command("convert", poses, tmp_path / "yolo", "--to", "yolo", "--video", video).code == 0
    pictures = sorted(p.stem for p in (tmp_path / "yolo/images").rglob("*.jpg"))
    assert pictures == sorted(p.stem for p in (tmp_path / "yolo/labels").rglob("*.txt")) and len(pictures) == FRAMES


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["in.jsonl", "a.xyz"], EXIT_USAGE, "--format"),
        (["in.jsonl", "a.json", "--to", "xyz"], EXIT_USAGE, "xyz"),
        (["in.jsonl", "there.csv"], EXIT_SOME_FAILED, "exists already"),
        (["in.jsonl", "in.jsonl", "--force"], EXIT_USAGE, "one of the inputs"),
        (["in.jsonl", "full", "--to", "openpose", "--force"], EXIT_SOME_FAILED, "not empty"),
        (["in.jsonl", "a.csv", "--joints", "all", "--to", "openpose"], EXIT_USAGE, "--joints"),
        (["in.jsonl", "a.json", "--wide"], EXIT_USAGE, "--wide"),
        (["in.jsonl", "a.csv", "--ids", "x"], EXIT_USAGE, "ids"),
        (["in.jsonl", "a.csv", "--frames", "f"], EXIT_USAGE, "--video"),
        (["none.jsonl", "a.csv"], EXIT_SOME_FAILED, "none.jsonl"),
        (["empty.jsonl", "a.csv"], EXIT_SOME_FAILED, "no frames"),
        (["there.csv", "a.jsonl"], EXIT_SOME_FAILED, "there.csv"),
        (["toes.json", "a.csv"], EXIT_SOME_FAILED, "left_toe"),
        (["mixed.json", "a.csv"], EXIT_SOME_FAILED, "a person has 1 keypoints"),
        (["in.jsonl", "a.csv", "--video", "none.mp4"], EXIT_SOME_FAILED, "none.mp4"),
        (["in.jsonl", "nowhere/a.csv"], EXIT_SOME_FAILED, "folder"),
        (["in.jsonl", "a.json", "--angles"], EXIT_USAGE, "--angles"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    tmp_path: Path,
    command: Callable[..., Ran],
    monkeypatch: pytest.MonkeyPatch,
    poses: Path,
    words: list[str],
    code: int,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.csv").write_text("precious")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("")
    write_poses(tmp_path / "empty.jsonl", header(), [])
    person = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [9, 9, 2, 8, 8, 2], "bbox": [1, 2, 30, 40]}
    category = {"id": 1, "name": "person", "keypoints": ["nose", "left_toe"]}
    images = [{"id": 1, "file_name": "0.jpg"}]
    put(tmp_path / "toes.json", {"images": images, "annotations": [person], "categories": [category]})
    other = {**person, "id": 2, "keypoints": [9, 9, 2]}
    category = {**category, "keypoints": ["nose", "left_eye"]}
    put(tmp_path / "mixed.json", {"images": images, "annotations": [person, other], "categories": [category]})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    run = command("convert", *words)
    assert run.code == code and says in run.err
    if "--to" not in words or "xyz" not in words:  # typer frames what it finds itself
        assert len(run.lines) == 1, run.err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_video_that_does_not_match_is_refused(
    tmp_path: Path, command: Callable[..., Ran], poses: Path, filmed: tuple[Path, Path]
) -> None:
    run = command("convert", poses, tmp_path / "a.zip", "--video", filmed[0], "--frames", tmp_path / "fr")
    assert run.code == EXIT_SOME_FAILED and "another video" in run.err and not (tmp_path / "a.zip").exists()
    assert not (tmp_path / "fr").exists()


def test_frames_where_a_file_is_are_refused(
    tmp_path: Path, command: Callable[..., Ran], filmed: tuple[Path, Path], tiny_model: Path
) -> None:
    video, poses = filmed
    annotate = ("annotate", video, "--out", tmp_path / "b.jsonl", "--boxes", poses, "--weights", tiny_model)
    for words in (("convert", poses, tmp_path / "a.json", "--video", video), annotate):
        run = command(*words, "--frames", poses)
        assert run.code == EXIT_SOME_FAILED and run.lines == [f"ftp: {poses}: this is a file; name a folder"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.jsonl", "0.mp4", "clips.json"]


@pytest.mark.parametrize("form", WRITABLE)
def test_a_file_with_nobody_in_it(tmp_path: Path, command: Callable[..., Ran], form: Format) -> None:
    write_poses(tmp_path / "in.jsonl", header(), [replace(frame, poses=()) for frame in frames(4)])
    out = tmp_path / f"out{SINKS[form].suffix}"
    run = command("convert", tmp_path / "in.jsonl", out, "--to", form)
    if SINKS[form].people_only:
        assert run.code == EXIT_SOME_FAILED and "nobody is in any frame" in run.err and not out.exists()
        assert len(run.lines) == 1
    else:
        assert run.code == 0 and out.exists(), run.err


def test_a_table_keeps_its_times_whatever_fps_says(tmp_path: Path, command: Callable[..., Ran]) -> None:
    head = "frame,seconds,track,joint,x,y\n"
    (tmp_path / "a.csv").write_text(head + "0,0.5,1,nose,9,9\n1,0.75,1,nose,9,9\n2,,1,nose,9,9\n")
    assert command("convert", tmp_path / "a.csv", tmp_path / "b.csv", "--fps", 10).code == 0
    assert [row.split(",")[1] for row in (tmp_path / "b.csv").read_text().splitlines()[1:]] == ["0.5", "0.75", "0.2"]


def test_fps_that_is_not_used_is_said(tmp_path: Path, command: Callable[..., Ran], poses: Path) -> None:
    run = command("convert", poses, tmp_path / "b.csv", "--fps", 10)
    assert run.code == 0 and "--fps is not used, the times are those of the file" in run.err


@pytest.mark.parametrize("form", ["csv", "csv_wide", "parquet", "parquet_wide"])
def test_angles_of_joints_are_columns(tmp_path: Path, command: Callable[..., Ran], poses: Path, form: str) -> None:
    out, plain = (tmp_path / f"{name}{SINKS[Format(form)].suffix}" for name in ("out", "plain"))
    assert command("convert", poses, plain, "--to", form).code == 0
    assert command("convert", poses, out, "--to", form, "--angles").code == 0
    with open_poses(out) as found_poses, open_poses(plain) as wanted_poses:
        assert_same(found_poses, wanted_poses)
    if form.startswith("parquet"):
        polars = pytest.importorskip("polars")
        rows = [{k: "" if v is None else v for k, v in row.items()} for row in polars.read_parquet(out).to_dicts()]
    else:
        rows = list(csv.DictReader(out.read_text().splitlines()))
    people = [pose for frame in frames(8) for pose in frame.poses]
    each = len(rows) // len(people)
    shown = 0
    for n, pose in enumerate(people):
        wanted = dict(zip(ANGLES, joint_angles(PERSON19.joints, pose.keypoints, pose.confidence), strict=True))
        for row in rows[n * each : (n + 1) * each]:
            found = {row["joint"]: row["angle"], "trunk": row["trunk_angle"]} if each > 1 else {}
            found = found or {name: row[f"{name}_angle"] for name in ANGLES}
            for name, value in found.items():
                angle = float(value) if value != "" else np.nan
                np.testing.assert_allclose(angle, wanted.get(name, np.nan), atol=0.01)
                shown += value != ""
    assert shown > 20


def test_a_missing_library_is_named_with_its_extra(
    tmp_path: Path, command: Callable[..., Ran], poses: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftpcli.formats.writer.find_spec", lambda name: None)
    for name in ("a.slp", "a.analysis.h5", "a.h5", "a.parquet", "a.nwb"):
        run = command("convert", poses, tmp_path / name)
        assert run.code == EXIT_USAGE and "pip install 'ftp-pose[formats]'" in run.err and len(run.lines) == 1
        assert not (tmp_path / name).exists()
    (tmp_path / "b.slp").write_bytes(b"\x89HDF\r\n\x1a\n")
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    for library in ("h5py", "polars"):
        monkeypatch.setitem(sys.modules, library, None)
    for name in ("b.slp", "b.parquet"):
        run = command("convert", tmp_path / name, tmp_path / "c.csv")
        assert run.code == EXIT_SOME_FAILED and "pip install 'ftp-pose[formats]'" in run.err and len(run.lines) == 1


def test_annotate_writes_the_other_forms_and_the_frames(
    tmp_path: Path, command: Callable[..., Ran], tiny_model: Path
) -> None:
    from tests.support.tiny import mot_boxes

    make_clips(tmp_path, clips=1, frames=FRAMES)
    boxes = mot_boxes(tmp_path / "boxes.txt", FRAMES, (160, 200), people=1)
    run = ["annotate", tmp_path / "0.mp4", "--boxes", boxes, "--device", "cpu", "--weights", tiny_model, "--quiet"]
    frames_to = tmp_path / "pictures"
    assert command(*run, "--out", tmp_path / "a.json", "--frames", frames_to, "--picture", "png").code == 0
    images = json.loads((tmp_path / "a.json").read_text())["images"]
    with open_source(tmp_path / "0.mp4") as reader:
        for frame, image in zip(reader, images, strict=True):
            assert np.array_equal(cv2.imread(str(frames_to / image["file_name"]))[..., ::-1], frame.image)
    assert command(*run, "--out", tmp_path / "a.jsonl").code == 0
    assert command(*run, "--out", tmp_path / "a.csv").code == 0
    assert command("convert", tmp_path / "a.jsonl", tmp_path / "b.csv").code == 0
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert command(*run, "--out", tmp_path / "op", "--format", "openpose").code == 0
    assert len(list((tmp_path / "op").iterdir())) == FRAMES
