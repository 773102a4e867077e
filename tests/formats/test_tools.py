"""What other tools make of our files. A tool that is not installed (extras ``dev`` and ``interop``) is passed over."""

from __future__ import annotations

import ast
import csv
import importlib.util
import json
import os
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ftpcli.annotation.conversion import convert
from ftpcli.formats import open_poses, write_poses
from ftpcli.records import FramePoses
from ftpcli.skeleton import COCO17, PERSON19
from tests.support.formats_samples import SIZE, frames, header, walk

COUNT = 12


@pytest.fixture
def items() -> list[FramePoses]:
    return walk(COUNT)


@pytest.fixture
def poses(tmp_path: Path, items: list[FramePoses]) -> Path:
    write_poses(tmp_path / "walk.jsonl", header(frames=COUNT), items)
    return tmp_path / "walk.jsonl"


def table(pose: Any, joints: tuple[str, ...] = PERSON19.joints) -> np.ndarray:
    """(K, 3) x, y and confidence, NaN places where it is 0."""
    at = [PERSON19.joints.index(joint) for joint in joints]
    points = np.where(pose.confidence[at, None] > 0, pose.keypoints[at], np.nan)
    return np.column_stack([points, pose.confidence[at]])


def close(found: np.ndarray, wanted: np.ndarray, pixels: float = 0.01) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=pixels, equal_nan=True)


def test_pandas_reads_the_tidy_table(tmp_path: Path, poses: Path, items: list[FramePoses]) -> None:
    pandas = pytest.importorskip("pandas")
    convert(poses, tmp_path / "a.csv")
    rows = pandas.read_csv(tmp_path / "a.csv")
    assert list(rows.columns) == ["frame", "seconds", "track", "joint", "x", "y", "confidence"]
    people = list(rows.groupby(["frame", "track"], sort=False))
    wanted = [(frame, pose) for frame in items for pose in frame.poses]
    assert [key for key, _ in people] == [(f.index, p.track_id) for f, p in wanted]
    for (_, mine), (frame, pose) in zip(people, wanted, strict=True):
        assert tuple(mine.joint) == PERSON19.joints and set(mine.seconds) == {frame.seconds}
        close(mine[["x", "y", "confidence"]].to_numpy(), table(pose), 0.001)
        assert mine.confidence.tolist() == pose.confidence.tolist()


def test_pandas_reads_the_wide_table(tmp_path: Path, poses: Path, items: list[FramePoses]) -> None:
    pandas = pytest.importorskip("pandas")
    convert(poses, tmp_path / "a.csv", "csv_wide")
    rows = pandas.read_csv(tmp_path / "a.csv")
    wanted = [(frame, pose) for frame in items for pose in frame.poses]
    assert len(rows) == len(wanted)
    columns = [f"{joint}_{value}" for joint in PERSON19.joints for value in ("x", "y", "confidence")]
    for (_, row), (frame, pose) in zip(rows.iterrows(), wanted, strict=True):
        assert (row.frame, row.seconds, row.track, row.score) == (
            frame.index,
            frame.seconds,
            pose.track_id,
            pose.score,
        )
        close(row[["box_x", "box_y"]].to_numpy(dtype=float), pose.box[:2], 0.001)
        close(row[columns].to_numpy(dtype=float).reshape(-1, 3), table(pose), 0.001)


def test_pycocotools_takes_the_results(tmp_path: Path, poses: Path, items: list[FramePoses]) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    convert(poses, tmp_path / "truth.json")
    convert(poses, tmp_path / "results.json", "coco_results")
    truth = COCO(str(tmp_path / "truth.json"))
    results = truth.loadRes(str(tmp_path / "results.json"))
    assert len(results.anns) == sum(len(frame.poses) for frame in items)
    evaluation = COCOeval(truth, results, "keypoints")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


def test_faster_coco_eval_takes_the_results(tmp_path: Path, poses: Path) -> None:
    faster = pytest.importorskip("faster_coco_eval")
    convert(poses, tmp_path / "truth.json")
    convert(poses, tmp_path / "results.json", "coco_results")
    truth = faster.COCO(str(tmp_path / "truth.json"))
    evaluation = faster.COCOeval_faster(truth, truth.loadRes(str(tmp_path / "results.json")), "keypoints")
    evaluation.run()
    assert evaluation.stats[0] == pytest.approx(1.0)


def datumaro() -> str:
    """A Python that has datumaro: this one, or the one that FTP_DATUMARO_PYTHON names (it pins older libraries)."""
    import sys

    named = os.environ.get("FTP_DATUMARO_PYTHON")
    if named is None and importlib.util.find_spec("datumaro") is None:
        pytest.skip("datumaro is not installed, and FTP_DATUMARO_PYTHON names no Python that has it")
    return named or sys.executable


def test_datumaro_keeps_ids_of_the_cvat_task(tmp_path: Path, poses: Path, items: list[FramePoses]) -> None:
    python = datumaro()
    convert(poses, tmp_path / "task.zip")
    with zipfile.ZipFile(tmp_path / "task.zip") as task:
        task.extractall(tmp_path / "task")
    script = (
        "import sys, datumaro as dm\n"
        "d = dm.Dataset.import_from(sys.argv[1], 'coco_person_keypoints')\n"
        "d.export(sys.argv[2], 'coco_person_keypoints', save_media=False)\n"
    )
    run = subprocess.run(
        [python, "-c", script, tmp_path / "task", tmp_path / "back"], capture_output=True, text=True, env=_plain()
    )
    assert run.returncode == 0, run.stderr
    with open_poses(tmp_path / "back" / "annotations" / "person_keypoints_default.json") as reader:
        back = {frame.index: frame for frame in reader}
        joints = reader.header.joints
    assert joints == COCO17.joints
    assert sorted(back) == [frame.index for frame in items]
    for frame in items:
        mine = sorted(back[frame.index].poses, key=lambda pose: pose.track_id)
        assert [p.track_id for p in mine] == [p.track_id for p in frame.poses]
        for found, pose in zip(mine, frame.poses, strict=True):
            wanted = table(pose, joints)[:, :2]
            close(np.where(found.confidence[:, None] > 0, found.keypoints, np.nan), wanted)


def _plain() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def test_ultralytics_accepts_every_label(tmp_path: Path, poses: Path, items: list[FramePoses]) -> None:
    """Its own check of labels, and its own reading of them."""
    import cv2
    from ultralytics.data.utils import check_det_dataset, verify_image_label

    out = tmp_path / "yolo"
    convert(poses, out, "yolo", joints="all")
    data = check_det_dataset(str(out / "data.yaml"), autodownload=False) if _with_pictures(out) else {}
    assert data["kpt_shape"] == [19, 3] and data["names"] == {0: "person"}
    flipped = [PERSON19.joints[n] for n in data["flip_idx"]]
    assert flipped[5:7] == ["right_shoulder", "left_shoulder"] and flipped[17:] == ["head_bottom", "head_top"]
    for frame in items:
        image = str(out / "images/train/walk in park" / f"{frame.index:08d}.jpg")
        label = str(out / "labels/train/walk in park" / f"{frame.index:08d}.txt")
        found = verify_image_label((image, label, "", True, 1, 19, 3, False))
        assert found[0] == image and found[-1] == "" and found[8] == 0, found[-1]
        keypoints = found[4] if found[4] is not None else np.zeros((0, 19, 3))
        for mine, pose in zip(keypoints, frame.poses, strict=True):
            places = mine[:, :2] * SIZE
            inside = ((pose.keypoints >= 0) & (pose.keypoints <= SIZE)).all(axis=1) & (pose.confidence > 0)
            assert (mine[:, 2] > 0).tolist() == inside.tolist()
            close(places[inside], pose.keypoints[inside])
    assert cv2.imread(image) is not None


def test_ultralytics_trains_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the export as it is: pictures, labels and data.yaml of a video."""
    from ultralytics import YOLO

    from ftpcli.video import open_source
    from tests.support.training_data import make_clips

    make_clips(tmp_path, clips=1, frames=4)
    person = frames(3)[2].poses[0]
    person = replace(person, box=np.array([20.0, 30, 120, 180]), keypoints=np.linspace(30, 150, 38).reshape(19, 2))
    with open_source(tmp_path / "0.mp4") as video:
        info, seen = video.info, [FramePoses(f.index, f.pts, f.seconds, (person,)) for f in video]
    about = header(path="0.mp4", width=info.width, height=info.height, time_base=info.time_base, frames=4, rotation=0)
    write_poses(tmp_path / "0.jsonl", about, seen)
    convert(tmp_path / "0.jsonl", tmp_path / "set", "yolo", video=tmp_path / "0.mp4")
    monkeypatch.chdir(tmp_path)
    model = YOLO("yolo11n-pose.yaml")  # untrained: nothing is fetched
    quiet: dict[str, Any] = {"plots": False, "verbose": False, "workers": 0, "project": str(tmp_path / "runs")}
    model.train(data=str(tmp_path / "set/data.yaml"), epochs=1, imgsz=64, batch=2, device="cpu", **quiet)
    assert model.trainer.data["kpt_shape"] == [17, 3] and len(model.trainer.train_loader.dataset) == 4
    (row,) = csv.DictReader(model.trainer.csv.read_text().splitlines())
    assert 0 < float(row["train/pose_loss"]) < np.inf and model.trainer.last.exists()
    labels = model.trainer.train_loader.dataset.labels
    assert {len(one["keypoints"]) for one in labels} == {1}, "not one label was dropped as corrupt"


def _with_pictures(out: Path) -> bool:
    import cv2

    for label in (out / "labels").rglob("*.txt"):
        image = out / "images" / label.relative_to(out / "labels").with_suffix(".jpg")
        image.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(image), np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    return True


def test_sleap_io_reads_tracks_scores_and_joints(tmp_path: Path, poses: Path, items: list[FramePoses]) -> None:
    sio = pytest.importorskip("sleap_io")
    convert(poses, tmp_path / "a.slp")
    labels = sio.load_slp(str(tmp_path / "a.slp"))
    assert labels.skeleton.node_names == list(PERSON19.joints)
    assert ("left_knee", "left_hip") in [(e.source.name, e.destination.name) for e in labels.skeleton.edges]
    seen = {frame.frame_idx: frame for frame in labels}
    assert sorted(seen) == [frame.index for frame in items], "also those without people"
    for frame in items:
        people = sorted(seen[frame.index].predicted_instances, key=lambda i: int(i.track.name))
        assert [int(person.track.name) for person in people] == [pose.track_id for pose in frame.poses]
        for person, pose in zip(people, frame.poses, strict=True):
            assert person.score == pytest.approx(pose.score, abs=1e-6)
            close(person.numpy(scores=True), table(pose))


def test_movement_reads_slp_and_deeplabcut(tmp_path: Path, poses: Path, items: list[FramePoses]) -> None:
    pytest.importorskip("movement")
    from movement.io import load_poses

    convert(poses, tmp_path / "a.slp")
    convert(poses, tmp_path / "a.csv", "deeplabcut")
    dlc = load_poses.from_dlc_file(tmp_path / "a.csv", fps=30)
    sleap = load_poses.from_sleap_file(tmp_path / "a.slp", fps=30)
    assert dlc.sizes["time"] == COUNT
    for frame in items:
        for pose in frame.poses:
            wanted = table(pose)
            for found, name, time in ((dlc, f"id{pose.track_id}", frame.index), (sleap, str(pose.track_id), None)):
                if time is None:  # SLEAP files hold no frame without people at their start
                    time = frame.index
                    if time >= found.sizes["time"]:
                        continue
                person, keypoint = (next(d for d in found.dims if d.startswith(n)) for n in ("individual", "keypoint"))
                place = found.position.isel(time=time).sel({person: name}).transpose(keypoint, "space")
                assert list(place[keypoint].values) == list(PERSON19.joints)
                close(place.to_numpy(), wanted[:, :2])


def test_sleap_io_and_movement_read_nwb(tmp_path: Path, poses: Path, items: list[FramePoses]) -> None:
    sio = pytest.importorskip("sleap_io")
    pytest.importorskip("ndx_pose")
    convert(poses, tmp_path / "a.nwb")
    people = [(frame, pose) for frame in items for pose in frame.poses]
    labels = sio.load_nwb(str(tmp_path / "a.nwb"))
    found = [person for frame in labels for person in frame.predicted_instances]
    assert len(found) == len(people)
    wanted = sorted(table(pose)[0, 0] for _, pose in people)
    close(np.array(sorted(person.numpy()[0, 0] for person in found)), np.array(wanted))

    pynwb = pytest.importorskip("pynwb")
    track = people[0][1].track_id
    mine = [(frame, pose) for frame, pose in people if pose.track_id == track]
    with pynwb.NWBHDF5IO(str(tmp_path / "a.nwb"), "r", load_namespaces=True) as io:
        module = io.read().processing["SLEAP_VIDEO_000_walk in park"]
        series = module[f"track={track}"]["nose"]
        rows = {round(t, 9): row for t, row in zip(series.timestamps[:], series.data[:], strict=True)}
        for frame, pose in mine:
            close(rows[round(frame.seconds, 9)], table(pose)[0, :2])
    pytest.importorskip("movement")
    from movement.io import load_poses

    read = load_poses.from_nwb_file(tmp_path / "a.nwb", "SLEAP_VIDEO_000_walk in park", f"track={track}")
    keypoint = next(str(name) for name in read.dims if str(name).startswith("keypoint"))
    close(read.position.isel(time=0).sel({keypoint: "nose"}).to_numpy().ravel(), table(mine[0][1])[0, :2])


def openpose_as_pose2sim(file: Path) -> list[np.ndarray]:
    """People of a file as Pose2Sim's ``personAssociation`` reads them: (K, 3) each."""
    people = json.loads(file.read_text())["people"]
    return [
        np.column_stack([p["pose_keypoints_2d"][0::3], p["pose_keypoints_2d"][1::3], p["pose_keypoints_2d"][2::3]])
        for p in people
    ]


@pytest.mark.parametrize(("form", "joints"), [("openpose", 25), ("openpose18", 18)])
def test_openpose_files(tmp_path: Path, poses: Path, items: list[FramePoses], form: str, joints: int) -> None:
    out = tmp_path / "json"
    convert(poses, out, form)
    files = sorted(out.iterdir())
    assert [file.name for file in files] == [f"walk in park_{frame.index:012d}_keypoints.json" for frame in items]
    places = {"nose": 0, "right_shoulder": 2, "left_wrist": 7} | (
        {"right_hip": 9, "left_ankle": 14, "left_ear": 18} if joints == 25 else {"right_hip": 8, "left_ear": 17}
    )
    for file, frame in zip(files, items, strict=True):
        people = openpose_as_pose2sim(file)
        assert [p["person_id"] for p in json.loads(file.read_text())["people"]] == [[p.track_id] for p in frame.poses]
        for found, pose in zip(people, frame.poses, strict=True):
            assert found.shape == (joints, 3)
            for joint, n in places.items():
                wanted = table(pose, (joint,))[0]
                close(found[n], np.nan_to_num(wanted))
            shoulders = table(pose, ("left_shoulder", "right_shoulder"))
            close(found[1], [*shoulders[:, :2].mean(axis=0), shoulders[:, 2].min()])
            if joints == 25:
                assert not found[19:].any(), "no model of ours knows feet"


def pose2sim(module: str, function: str, **names: Any) -> Any:
    """A function of Pose2Sim without importing all that it needs (OpenSim, Qt, OpenVINO)."""
    found = importlib.util.find_spec("Pose2Sim")
    if found is None or not found.submodule_search_locations:
        pytest.skip("Pose2Sim is not installed")
    text = Path(found.submodule_search_locations[0], f"{module}.py").read_text(encoding="utf-8")
    (body,) = [n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef) and n.name == function]
    exec(compile(ast.Module([body], []), module, "exec"), names)
    return names[function]


def test_pose2sim_reads_openpose_and_trc(tmp_path: Path, poses: Path, items: list[FramePoses]) -> None:
    read_json = pose2sim("personAssociation", "read_json", json=json, np=np)
    convert(poses, tmp_path / "json", "openpose")
    for frame, file in zip(items, sorted((tmp_path / "json").iterdir()), strict=True):
        people = read_json(str(file))
        assert len(people) == len(frame.poses)
        for found, pose in zip(people, frame.poses, strict=True):
            close(np.array(found).reshape(25, 3)[4], np.nan_to_num(table(pose, ("right_wrist",))[0]))
    pandas = pytest.importorskip("pandas")
    read_trc = pose2sim("common", "read_trc", pd=pandas, np=np)
    track = next(pose.track_id for frame in items for pose in frame.poses)
    convert(poses, tmp_path / "a.trc", ids=[track])
    places, _, times, markers, _ = read_trc(str(tmp_path / "a.trc"))
    assert markers == list(PERSON19.joints) and times.tolist() == [frame.seconds for frame in items]
    for row, frame in zip(places.to_numpy().reshape(COUNT, 19, 3), items, strict=True):
        mine = [table(pose)[:, :2] for pose in frame.poses if pose.track_id == track]
        close(row[:, :2], mine[0] if mine else np.full((19, 2), np.nan))


def test_trc_holds_the_true_times(tmp_path: Path, poses: Path, items: list[FramePoses]) -> None:
    pandas = pytest.importorskip("pandas")
    convert(poses, tmp_path / "a.trc")
    lines = (tmp_path / "a.trc").read_text().splitlines()
    markers = lines[3].split("\t")[2::3]
    tracks = sorted({pose.track_id for frame in items for pose in frame.poses})
    assert markers == [f"{track}_{joint}" for track in tracks for joint in PERSON19.joints]
    assert lines[2].split("\t")[2:5] == [str(COUNT), str(len(markers)), "px"]
    rows = pandas.read_csv(tmp_path / "a.trc", sep="\t", skiprows=5, header=None)  # as Pose2Sim's read_trc does
    assert rows[1].tolist() == [frame.seconds for frame in items] and len(rows.columns) == 2 + 3 * len(markers)
    for frame, row in zip(items, rows.to_numpy(), strict=True):
        people = {pose.track_id: pose for pose in frame.poses}
        for n, marker in enumerate(markers):
            track, joint = marker.split("_", 1)
            pose = people.get(int(track))
            wanted = table(pose, (joint,))[0, :2] if pose else np.full(2, np.nan)
            close(row[2 + 3 * n : 4 + 3 * n], wanted)
    convert(poses, tmp_path / "one.trc", ids=[tracks[0]])
    assert (tmp_path / "one.trc").read_text().splitlines()[3].split("\t")[2] == "nose"


def test_mot_text_is_read_as_boxes(tmp_path: Path, poses: Path, items: list[FramePoses]) -> None:
    from ftpcli.datasets.mot import read_mot

    convert(poses, tmp_path / "a.txt")
    boxes, left_out = read_mot(tmp_path / "a.txt")
    wanted = [(frame.index, pose) for frame in items for pose in frame.poses]
    assert not left_out.counts and [(b.frame, b.track, b.score) for b in boxes] == [
        (f, p.track_id, p.score) for f, p in wanted
    ]
    for box, (_, pose) in zip(boxes, wanted, strict=True):
        close(box.box, pose.box)


def test_supervision_reads_the_boxes(tmp_path: Path, poses: Path, items: list[FramePoses]) -> None:
    sv = pytest.importorskip("supervision")
    convert(poses, tmp_path / "a.json")
    _with_pictures_of(tmp_path, items)
    found = sv.DetectionDataset.from_coco(str(tmp_path), str(tmp_path / "a.json"))
    assert sum(len(detections) for _, _, detections in found) == sum(len(frame.poses) for frame in items)


def _with_pictures_of(folder: Path, items: list[FramePoses]) -> None:
    import cv2

    (folder / "walk in park").mkdir()
    for frame in items:
        picture = folder / "walk in park" / f"{frame.index:08d}.jpg"
        assert cv2.imwrite(str(picture), np.zeros((SIZE[1], SIZE[0], 3), np.uint8))


def test_the_cvat_zip_defines_its_skeleton(tmp_path: Path, poses: Path) -> None:
    convert(poses, tmp_path / "task.zip", joints="all")
    with zipfile.ZipFile(tmp_path / "task.zip") as task:
        assert task.testzip() is None
        (label,) = json.loads(task.read("labels.json"))
    assert [sub["name"] for sub in label["sublabels"]] == list(PERSON19.joints)
    assert label["svg"].count("<circle") == 19 and label["svg"].count("<line") == len(PERSON19.edges)
    shutil.copy(tmp_path / "task.zip", tmp_path / "again.zip")
    convert(poses, tmp_path / "task.zip", joints="all", overwrite=True)
    assert (tmp_path / "again.zip").read_bytes() == (tmp_path / "task.zip").read_bytes()
