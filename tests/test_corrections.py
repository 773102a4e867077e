"""From a video to a model that has learnt one's corrections: annotate, correct, train, annotate again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ftpcli.formats import open_poses
from ftpcli.skeleton import COCO17, PERSON19
from ftpcli.training.sources import DataSpec, open_data
from ftpcli.video import open_source
from tests.support.others_files import put
from tests.support.tiny import Ran, mot_boxes
from tests.support.training_data import make_clips

FRAMES = 5
JOINT = 7  # left elbow


def corrected_lines(path: Path) -> None:
    """As a script corrects our JSON Lines: the joint moved, its confidence 1, all others as they were."""
    first, *rest = path.read_text().splitlines()
    records = [json.loads(line) for line in rest]
    for record in records:
        for person in record["people"]:
            person["keypoints"][JOINT] = [50.0 + record["index"], 60.0, 1.0]
    path.write_text("\n".join([first, *map(json.dumps, records)]) + "\n")


def corrected_coco(path: Path) -> None:
    """As a COCO editor that keeps what it does not know: the joint moved and visible, its old score still there."""
    data = json.loads(path.read_text())
    index = {image["id"]: image["frame_index"] for image in data["images"]}
    for annotation in data["annotations"]:
        annotation["keypoints"][3 * JOINT : 3 * JOINT + 3] = [50.0 + index[annotation["image_id"]], 60.0, 2]
        annotation["keypoint_scores"][JOINT] = 0.01
    path.write_text(json.dumps(data))


def through_cvat(path: Path, video: Path, folder: Path) -> Path:
    """As CVAT gives a corrected task back: its own names and fields, pictures in a folder, nothing of ours."""
    data = json.loads(path.read_text())
    (folder / "images" / "default").mkdir(parents=True)
    with open_source(video) as reader:
        for frame in reader:
            name = str(folder / "images" / "default" / f"frame_{frame.index:06d}.PNG")
            assert cv2.imwrite(name, frame.image[..., ::-1])
    index = {image["id"]: image["frame_index"] for image in data["images"]}
    images = [{"id": i, "file_name": f"frame_{n:06d}.PNG", "width": 160, "height": 200} for i, n in index.items()]
    annotations = []
    for old in data["annotations"]:
        kept = {key: old[key] for key in ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "keypoints")}
        attributes = {"track_id": old["track_id"], "occluded": False, "keyframe": True}
        annotations.append({**kept, "num_keypoints": 17, "segmentation": [], "attributes": attributes})
    category = {"id": 1, "name": "person", "supercategory": "", "keypoints": list(COCO17.joints), "skeleton": []}
    back: dict[str, Any] = {"licenses": [{"name": "", "id": 0, "url": ""}], "info": {"contributor": ""}}
    back |= {"categories": [category], "images": images, "annotations": annotations}
    return put(folder / "annotations" / "person_keypoints_default.json", back)


@pytest.mark.parametrize("form", ["jsonl", "coco", "cvat"])
def test_corrections_are_learnt_from(tmp_path: Path, tiny_model: Path, command: Callable[..., Ran], form: str) -> None:
    make_clips(tmp_path, clips=1, frames=FRAMES)
    video, boxes = tmp_path / "0.mp4", mot_boxes(tmp_path / "boxes.txt", FRAMES, (160, 200), people=1)
    poses = tmp_path / ("a.jsonl" if form == "jsonl" else "a.json")
    annotate = ("annotate", video, "--boxes", boxes, "--device", "cpu", "--engine", "torch", "--quiet")
    assert command(*annotate, "--weights", tiny_model, "--out", poses).code == 0
    (corrected_lines if form == "jsonl" else corrected_coco)(poses)
    data = f"poses={poses}"
    if form == "cvat":
        back = through_cvat(poses, video, tmp_path / "task")
        data = f"coco={back}"
        with open_poses(back) as reader:
            assert [[pose.track_id for pose in frame.poses] for frame in reader] == [[1]] * FRAMES

    source = open_data(DataSpec.parse(data), PERSON19, "train")
    assert len(source) == FRAMES and not source.warnings
    column = PERSON19.joints.index(COCO17.joints[JOINT])
    for n in range(FRAMES):
        example = source.example(n, 3)
        assert example.joints[column] == pytest.approx([50.0 + n, 60.0]) and example.weight[column] == 1
        key = example.images[len(example.images) // 2]
        with open_source(video) as frames:
            want = next(frame.image for frame in frames if frame.index == n)
        assert np.array_equal(key, want)

    out = tmp_path / "run"
    words = ("--weights", tiny_model, "--steps", 2, "--batch", 2, "--device", "cpu", "--quiet")
    trained = command("train", "--data", data, "--out", out, *words)
    assert trained.code == 0, trained.err
    again = command(*annotate, "--weights", out / "last.safetensors", "--out", tmp_path / "b.jsonl")
    assert again.code == 0, again.err
    with open_poses(tmp_path / "b.jsonl") as reader:
        assert [len(frame.poses) for frame in reader] == [1] * FRAMES
