"""A model on data sets: windows, boxes, prediction files, figures. The model here knows the answers."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from ftpcli.datasets.clips import read_clips
from ftpcli.datasets.posetrack.index import PoseTrackIndex
from ftpcli.errors import FtpError, InputError, OutputError, UsageError
from ftpcli.evaluation.model import evaluate_pose_model
from ftpcli.evaluation.report import plain, summary
from ftpcli.evaluation.runs import BoxSource, RunOptions
from ftpcli.skeleton import BODY12, COCO17
from tests.conftest import ROOT
from tests.support.eval_models import KnowingModel, fingerprint, posetrack_truth, read_rgb


def load_sample() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_posetrack", ROOT / "samples" / "make_posetrack.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["make_posetrack"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def posetrack(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small generated set in each layout."""
    sample, roots = load_sample(), {}
    for layout in ("17", "18", "21"):
        roots[layout] = tmp_path_factory.mktemp("posetrack") / layout
        sample.make(roots[layout], layout, 12)
    return roots


def options(root: Path, layout: str, out: Path, **changes: Any) -> RunOptions:
    return replace(RunOptions(root, f"posetrack{layout}", out), **changes)


def mean_ap(report: dict[str, Any]) -> float:
    return report["AP"]["groups"]["Mean"] if "groups" in report["AP"] else report["AP"]["map"]["Total"]


@pytest.mark.parametrize("layout", ["17", "18", "21"])
def test_a_perfect_model_loses_only_to_the_protocol(posetrack: dict[str, Path], layout: str, tmp_path: Path) -> None:
    index = PoseTrackIndex(posetrack[layout], layout)
    model = KnowingModel(posetrack_truth(index))
    report = evaluate_pose_model(model, options(posetrack[layout], layout, tmp_path / "pred"))
    recall = report["AP"]["recall_mean"] if layout != "21" else report["AP"]["recall"]["Total"]
    # Every annotated joint is found; joints that are not annotated are predicted and count as false.
    assert recall == pytest.approx(100)
    assert 80 < mean_ap(report) < 100
    assert report["boxes"] == {"source": "gt"} and report["dataset"] == f"posetrack{layout}"
    section = "HOTA" if layout == "21" else "MOT"
    assert report[section] is None and "not tracked" in report[f"{section}_error"]
    files = {path.name for path in (tmp_path / "pred").glob("*.json")}
    assert files == {sequence.file.name for sequence in index}
    text = summary(plain(report))
    assert "boxes=gt" in text.splitlines()[1] and text.split()[1:9] == [
        "Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Mean",
    ]  # fmt: skip


@pytest.mark.parametrize("layout", ["17", "18", "21"])
def test_prediction_files_list_every_frame_with_full_scores(
    posetrack: dict[str, Path], layout: str, tmp_path: Path
) -> None:
    index = PoseTrackIndex(posetrack[layout], layout)
    model = KnowingModel(posetrack_truth(index), noise=2)
    evaluate_pose_model(model, options(posetrack[layout], layout, tmp_path))
    for sequence in index:
        data = json.loads((tmp_path / sequence.file.name).read_text())
        if layout == "17":
            names = [entry["image"][0]["name"] for entry in data["annolist"]]
            scores = [
                s
                for e in data["annolist"]
                for r in e["annorect"]
                for p in r["annopoints"][0]["point"]
                for s in p["score"]
            ]
        else:
            names = [image["file_name"] for image in data["images"]]
            assert [image["id"] for image in data["images"]] == [frame.image_id for frame in sequence.frames]
            scores = [score for entry in data["annotations"] for score in entry["scores"] if score > 0]
            assert all(isinstance(v, float) for entry in data["annotations"] for v in entry["keypoints"])
        assert names == [frame.name for frame in sequence.frames]
        assert scores and all(score != round(score, 4) for score in scores[:50])


@pytest.mark.parametrize("layout", ["17", "18", "21"])
def test_detected_boxes_are_those_of_the_file(posetrack: dict[str, Path], layout: str, tmp_path: Path) -> None:
    root = posetrack[layout]
    index = PoseTrackIndex(root, layout)
    model = KnowingModel(posetrack_truth(index))
    source = BoxSource.parse(f"detected:{root / 'val_boxes.json'}")
    report = evaluate_pose_model(model, options(root, layout, tmp_path / "a", boxes=source))
    assert report["boxes"]["source"] == "detected" and report["boxes"]["file"] == "val_boxes.json"
    assert report["boxes"]["min_score"] == 0.2 and len(report["boxes"]["sha256"]) == 64
    assert "boxes=detected:val_boxes.json" in summary(plain(report))
    # Boxes under 0.2 are not used; those above are, all of them (the inverted filter of B7).
    scores = [window.person.score for window in model.seen]
    assert scores and min(scores) >= 0.2
    low = evaluate_pose_model(model, options(root, layout, tmp_path / "b", boxes=source, min_score=0.0))
    assert low["boxes"]["boxes"] > report["boxes"]["boxes"]
    # The joints' scores hold the box score.
    gt = evaluate_pose_model(model, options(root, layout, tmp_path / "c"))
    assert 0 < mean_ap(report) <= mean_ap(gt) + 20


def test_merged_detections_by_image_id_are_the_same_boxes(posetrack: dict[str, Path], tmp_path: Path) -> None:
    root = posetrack["18"]
    index, seen = PoseTrackIndex(root, "18"), []
    for name in ("val_boxes.json", "posetrack18_val_human_detections.json"):
        model = KnowingModel(posetrack_truth(index))
        boxes = BoxSource(root / name)
        evaluate_pose_model(model, options(root, "18", tmp_path / name, boxes=boxes))
        seen.append([(w.key.index, w.person.score, w.person.box.tolist()) for w in model.seen])
    assert seen[0] == seen[1] and len(seen[0]) > 10


def test_windows_are_true_neighbours_and_the_key_frame_at_the_ends(posetrack: dict[str, Path], tmp_path: Path) -> None:
    root = posetrack["17"]
    index = PoseTrackIndex(root, "17")
    model = KnowingModel(posetrack_truth(index))
    evaluate_pose_model(model, options(root, "17", tmp_path))
    places = {
        fingerprint(read_rgb(path)): (sequence.name, i) for sequence in index for i, path in enumerate(sequence.images)
    }
    ends = 0
    for window in model.seen:
        video, at = places[fingerprint(window.key.image)]
        found = [places[fingerprint(frame.image)] for frame in window.frames]
        assert found == [(video, min(max(at + step, 0), 11)) for step in (-1, 0, 1)]
        assert window.padded == (at == 0, False, at == 11)
        ends += any(window.padded)
    assert ends > 0
    single = KnowingModel(posetrack_truth(index))
    evaluate_pose_model(single, options(root, "17", tmp_path / "single", single=True))
    assert all(len({id(frame) for frame in window.frames}) == 1 for window in single.seen)
    assert all(window.padded == (True, False, True) for window in single.seen)


def test_posetrack21_may_be_scored_by_poseval_too(posetrack: dict[str, Path], tmp_path: Path) -> None:
    index = PoseTrackIndex(posetrack["21"], "21")
    model = KnowingModel(posetrack_truth(index))
    report = evaluate_pose_model(model, options(posetrack["21"], "21", tmp_path, metric="posetrack"))
    assert report["metric"] == "posetrack" and report["AP"]["recall_mean"] == pytest.approx(100)


def test_a_model_without_head_points_is_scored_with_stand_ins(posetrack: dict[str, Path], tmp_path: Path) -> None:
    index = PoseTrackIndex(posetrack["18"], "18")
    model = KnowingModel(posetrack_truth(index))
    model.joints = COCO17.joints
    report = evaluate_pose_model(model, options(posetrack["18"], "18", tmp_path))
    assert any("stand-ins" in line for line in report["warnings"])
    assert report["AP"]["per_joint"]["left_knee"] > 80


def test_existing_predictions_are_kept(posetrack: dict[str, Path], tmp_path: Path) -> None:
    index = PoseTrackIndex(posetrack["18"], "18")
    model = KnowingModel(posetrack_truth(index))
    evaluate_pose_model(model, options(posetrack["18"], "18", tmp_path))
    asked = len(model.seen)
    with pytest.raises(OutputError, match="exists already"):
        evaluate_pose_model(model, options(posetrack["18"], "18", tmp_path))
    assert len(model.seen) == asked  # told before any work
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file"):
        evaluate_pose_model(model, options(posetrack["18"], "18", tmp_path / "file"))
    evaluate_pose_model(model, options(posetrack["18"], "18", tmp_path, overwrite=True))


def test_missing_pictures_and_wrong_boxes_are_one_line(tmp_path: Path) -> None:
    root = tmp_path / "set"
    load_sample().make(root, "18", 12)
    model = KnowingModel(posetrack_truth(PoseTrackIndex(root, "18")))
    (root / "empty.json").write_text("[]")
    report = evaluate_pose_model(model, options(root, "18", tmp_path / "a", boxes=BoxSource(root / "empty.json")))
    assert mean_ap(report) == 0 and report["boxes"]["boxes"] == 0
    with pytest.raises(UsageError, match="unknown; give gt or detected:FILE"):
        BoxSource.parse("yolo")
    for path in (root / "images" / "val").rglob("000004.jpg"):
        path.unlink()
    with pytest.raises(InputError, match=r"000004\.jpg: picture is missing"):
        evaluate_pose_model(model, options(root, "18", tmp_path / "b"))
    with pytest.raises(UsageError, match="only --dataset clips"):
        evaluate_pose_model(model, options(root, "18", tmp_path / "c", every=8))
    with pytest.raises(UsageError, match=r"--hold-views 0\.2: must lie between 0 and 0\.1"):
        evaluate_pose_model(model, options(root, "18", tmp_path / "c", hold_views=0.2))
    with pytest.raises(UsageError, match=r"--hold-views 0\.05: only for --dataset clips"):
        evaluate_pose_model(model, options(root, "18", tmp_path / "c", hold_views=0.05))


# --- COCO ----------------------------------------------------------------------------------------------------------


def coco_set(folder: Path) -> tuple[Path, list[tuple[np.ndarray, dict[str, tuple[float, float]]]]]:
    """Two pictures with two people each, COCO's 17 joints and their own extras."""
    rng = np.random.default_rng(3)
    names = [*COCO17.joints, "head_bottom", "head_top"]
    data: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 1, "name": "person", "keypoints": names}],
    }
    known = []
    for i, source in enumerate(("street", "field"), 1):
        image = rng.integers(0, 255, (120, 160, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), image)
        data["images"].append({"id": i, "file_name": f"{i}.png", "width": 160, "height": 120, "source": source})
        for k in range(2):
            points = rng.uniform((10 + 70 * k, 10), (70 + 70 * k, 110), (19, 2)).round(2)
            visible = np.full(19, 2)
            visible[3] = 0
            low, high = points.min(axis=0), points.max(axis=0)
            data["annotations"].append(
                {
                    "id": len(data["annotations"]) + 1,
                    "image_id": i,
                    "category_id": 1,
                    "iscrowd": 0,
                    "bbox": [*low.tolist(), *(high - low).tolist()],
                    "area": float(np.prod(high - low)),
                    "keypoints": np.column_stack([points, visible]).ravel().tolist(),
                    "num_keypoints": 18,
                    "keypoint_source": "g" * 16 + "p" + "gg",
                }
            )
            known.append((image[:, :, ::-1], {name: tuple(p) for name, p in zip(names, points.tolist(), strict=True)}))
    (folder / "val.json").write_text(json.dumps(data))
    return folder, known


def test_coco_pictures(tmp_path: Path) -> None:
    root, known = coco_set(tmp_path)
    model = KnowingModel(known)
    report = evaluate_pose_model(model, RunOptions(root, "coco", tmp_path / "pred"))
    assert report["stats"]["AP"] == pytest.approx(1) and report["joints"] == list(COCO17.joints)
    pck = report["pck"]["0.2"]
    assert pck["mean"] == 1 and pck["persons"] == 4
    assert pck["joints"] == 4 * 11  # the right ankle is a teacher's label
    assert pck["per_joint"].keys() == set(BODY12) and np.isnan(pck["per_joint"]["right_ankle"])
    assert pck["per_source"] == {"field": 1.0, "street": 1.0}
    assert all(len({id(frame) for frame in window.frames}) == 1 for window in model.seen)
    assert "PCK@0.2" in summary(plain(report)) and summary(plain(report)).count("boxes=gt") >= 3
    again = evaluate_pose_model(KnowingModel(known, noise=30), RunOptions(root / "val.json", "coco", tmp_path / "b"))
    assert again["pck"]["0.2"]["mean"] < again["pck"]["0.5"]["mean"] < 1
    assert len(json.loads((tmp_path / "b" / "predictions.json").read_text())) == 4


def test_coco_pictures_with_detected_boxes(tmp_path: Path) -> None:
    root, known = coco_set(tmp_path)
    truth = json.loads((root / "val.json").read_text())["annotations"]
    boxes = [{"image_id": a["image_id"], "bbox": a["bbox"], "score": 0.9, "category_id": 1} for a in truth[:3]]
    boxes.append({**boxes[0], "score": 0.1})
    (root / "boxes.json").write_text(json.dumps(boxes))
    options = RunOptions(root, "coco", tmp_path / "pred", boxes=BoxSource(root / "boxes.json"))
    report = evaluate_pose_model(KnowingModel(known), options)
    assert report["boxes"] == {"source": "detected", "file": "boxes.json", "min_score": 0.2, "boxes": 3}
    assert report["stats"]["AR"] == pytest.approx(0.75)
    assert report["pck"] is None and "--boxes gt" in report["pck_error"]


def test_coco_picture_names_do_not_climb_out(tmp_path: Path) -> None:
    root, known = coco_set(tmp_path)
    data = json.loads((root / "val.json").read_text())
    name = data["images"][0]["file_name"]
    (root / "other").mkdir()
    (root / "other" / "secret.png").write_bytes((root / name).read_bytes())
    data["images"][0]["file_name"] = "../other/../other/secret.png"
    (root / "val.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"1 picture is missing, first .*secret.png; name their folder"):
        evaluate_pose_model(KnowingModel(known), RunOptions(root, "coco", tmp_path / "pred"))


# --- clips ---------------------------------------------------------------------------------------------------------


def clip_set(folder: Path, frames: int = 9) -> Path:
    """One clip; the person moves 2 pixels a frame, from frame 6 on the ankles are below the picture."""
    import av

    with av.open(str(folder / "a.mkv"), "w") as out:
        stream = out.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
        for t in range(frames):
            picture = np.full((48, 64, 3), 20 * t, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format="bgr0")))
        out.mux(stream.encode())
    body = np.array([[10 + 20 * (i % 2), 5 + 7 * (i // 2)] for i in range(12)], dtype=float)
    keypoints = []
    for t in range(frames):
        points = body + np.array([2.0 * t, 0.0])
        if t >= 6:
            points[10:, 1] = 60
        keypoints.append([[20.0, 2.0], *points.tolist()])
    clip = {"file": "a.mkv", "split": "val", "width": 64, "height": 48, "fps": 10, "frames": frames}
    data = {
        "joints": ["face", *BODY12],
        "clips": [clip | {"keypoints": keypoints}, clip | {"split": "train", "keypoints": []}],
    }
    (folder / "clips.json").write_text(json.dumps(data))
    return folder


def knowing_clips(root: Path, noise: float = 0.0) -> KnowingModel:
    known = []
    for clip in read_clips(root, "val"):
        for t, points in enumerate(clip.points[:, [clip.joints.index(joint) for joint in BODY12]]):
            picture = np.full((48, 64, 3), 20 * t, np.uint8)
            known.append((picture, dict(zip(BODY12, map(tuple, points.tolist()), strict=True))))
    return KnowingModel(known, noise)


def test_clips(tmp_path: Path) -> None:
    root = clip_set(tmp_path)
    model = knowing_clips(root)
    report = evaluate_pose_model(model, RunOptions(root, "clips", tmp_path / "pred"))
    pck = report["pck"]["0.2"]
    assert pck["mean"] == 1 and pck["persons"] == 9
    assert pck["joints"] == 9 * 12 - 3 * 2  # joints outside the picture do not count
    assert pck["per_source"] == {"clips": 1.0}
    # Even motion has no second difference; the labels jump when the ankles leave, but there they do not count.
    assert report["jitter"] == pytest.approx(0, abs=1e-9) and report["jitter_of_labels"] == pytest.approx(0, abs=1e-9)
    assert [int(frame.image[0, 0, 0]) // 20 for frame in model.seen[4].frames] == [3, 4, 5]
    assert model.seen[0].padded == (True, False, False) and model.seen[8].padded == (False, False, True)
    # Box: the extent of the joints inside, 10 % more on each side, cut to the picture.
    assert model.seen[0].person.box == pytest.approx([8.0, 0.0, 32.0, 43.8])
    assert model.seen[6].person.box == pytest.approx([17.8, 0.0, 44.2, 36.1])
    shaky = evaluate_pose_model(knowing_clips(root, noise=2), RunOptions(root, "clips", tmp_path / "b"))
    assert shaky["jitter"] > 0.05
    assert "jitter" in summary(plain(shaky))


def test_clips_thinned_out_have_no_jitter(tmp_path: Path) -> None:
    root = clip_set(tmp_path)
    model = knowing_clips(root)
    report = evaluate_pose_model(model, RunOptions(root, "clips", tmp_path / "pred", every=4))
    assert report["pck"]["0.2"]["persons"] == 3 and report["jitter"] is None
    assert [int(frame.image[0, 0, 0]) // 20 for frame in model.seen[1].frames] == [3, 4, 5]  # still true neighbours


def test_clips_single_and_blurred(tmp_path: Path) -> None:
    root = clip_set(tmp_path)
    model = knowing_clips(root)
    evaluate_pose_model(model, RunOptions(root, "clips", tmp_path / "a", single=True))
    assert all(len({id(frame) for frame in window.frames}) == 1 for window in model.seen)
    report = evaluate_pose_model(model, RunOptions(root, "clips", tmp_path / "b", blur=9))
    assert report["blur"] == 9 and report["neighbours"] == "true"


def test_clips_in_views_that_are_held(tmp_path: Path) -> None:
    root = clip_set(tmp_path)
    model = knowing_clips(root)
    model.provenance["flip_test"] = True
    report = evaluate_pose_model(model, RunOptions(root, "clips", tmp_path / "a", hold_views=0.1))
    assert report["hold_views"] == 0.1 and report["flip_test"] is True
    views = [window.view[0] for window in model.seen]
    assert len(set(views)) < len(views) and views[0] == views[1] == model.seen[0].person.box[0]
    model.seen.clear()
    report = evaluate_pose_model(model, RunOptions(root, "clips", tmp_path / "b"))
    assert report["hold_views"] == 0 and all(w.view.tolist() == w.person.box.tolist() for w in model.seen)


def test_a_joint_at_the_pictures_edge_lies_outside_for_training_and_evaluation(tmp_path: Path) -> None:
    from ftpcli.skeleton import PERSON19
    from ftpcli.training.sources import Clips

    root = clip_set(tmp_path)
    data = json.loads((root / "clips.json").read_text())
    data["clips"][0]["keypoints"][0][3] = [64.0, 10.0]
    data["clips"][0]["keypoints"][0][4] = [63.9, 10.0]
    (root / "clips.json").write_text(json.dumps(data))
    (clip,) = read_clips(root, "val")
    assert clip.inside[0, 3:5].tolist() == [False, True] and clip.boxes()[0, 2] == 64
    data["joints"] = ["nose", *BODY12]
    del data["clips"][0]["width"], data["clips"][0]["height"]
    (root / "clips.json").write_text(json.dumps(data))
    example = Clips(root, PERSON19, "val").example(0, 1)
    assert [example.weight[PERSON19.joints.index(joint)] for joint in BODY12[2:4]] == [0, 1]


def test_wrong_clips_are_one_line(tmp_path: Path) -> None:
    root = clip_set(tmp_path)
    model = knowing_clips(root)
    with pytest.raises(UsageError, match="give --boxes gt"):
        evaluate_pose_model(model, RunOptions(root, "clips", tmp_path / "a", boxes=BoxSource(root / "b.json")))
    with pytest.raises(InputError, match="no clip belongs to the split 'test'"):
        evaluate_pose_model(model, RunOptions(root, "clips", tmp_path / "a", split="test"))
    data = json.loads((root / "clips.json").read_text())
    data["clips"][0]["keypoints"].pop()
    (root / "clips.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="has 9 frames, its labels are for 8"):
        evaluate_pose_model(model, RunOptions(root, "clips", tmp_path / "a"))
    data["clips"][0]["file"] = "/etc/a.mkv"
    (root / "clips.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="outside its folder"):
        read_clips(root, "val")
    data["joints"][1], data["clips"][0]["file"] = "elbow", "a.mkv"
    (root / "clips.json").write_text(json.dumps(data))
    with pytest.raises(FtpError, match="lack left_shoulder"):
        evaluate_pose_model(model, RunOptions(root, "clips", tmp_path / "a"))


def test_the_labelled_clips_count_as_in_the_reference_measurement(shared: Path) -> None:
    """Persons and joints that the published comparison figures of the shared data are made of."""
    from ftpcli.evaluation.pck import pck

    clips = read_clips(shared / "data" / "clips", "val")
    columns = [clips[0].joints.index(joint) for joint in BODY12]
    points = np.concatenate([clip.points[::8, columns] for clip in clips])
    visible = np.concatenate([clip.inside[::8, columns] for clip in clips])
    result = pck(points, points, visible, BODY12)["0.2"]
    assert (len(points), result["persons"], result["joints"]) == (259, 217, 2356)
