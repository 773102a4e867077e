"""A model on still pictures of a COCO-keypoints file; the window is the picture repeated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ftpcli.errors import InputError
from ftpcli.evaluation.coco_files import joint_names, load_detections, load_truth
from ftpcli.evaluation.notices import Notices
from ftpcli.evaluation.oks import coco_stats
from ftpcli.evaluation.pck import exchanged, pck
from ftpcli.evaluation.pictures import Pictures
from ftpcli.evaluation.report import write_json
from ftpcli.evaluation.runs import PREDICTIONS, KeyFrame, PoseModel, Progress, RunOptions, estimate
from ftpcli.posetrack.index import check_name
from ftpcli.records import Person, Pose
from ftpcli.skeleton import BODY12, COCO17

Entry = dict[str, Any]


def evaluate_coco_data(model: PoseModel, options: RunOptions, progress: Progress) -> dict[str, Any]:
    """OKS AP by pycocotools and, with boxes of the annotations, PCK of the human labels."""
    path = coco_file(options.data, options.split)
    truth, notices = load_truth(path), Notices()
    joints = joint_names(truth, path)
    boxes = truth["annotations"] if options.boxes.file is None else load_detections(options.boxes.file, truth)
    by_image: dict[int, list[Entry]] = {}
    for entry in boxes:
        strong = options.boxes.file is None or entry["score"] >= options.min_score
        if strong and not entry.get("iscrowd") and entry["bbox"][2] > 0 and entry["bbox"][3] > 0:
            by_image.setdefault(entry["image_id"], []).append(entry)
    images = [image for image in truth["images"] if image["id"] in by_image]
    for image in images:
        if not isinstance(image.get("file_name"), str):
            raise InputError(f"{path}: image {image['id']} lacks 'file_name'")
        check_name(image["file_name"], path)

    options.prepare([PREDICTIONS])
    people: list[tuple[Entry, Pose]] = []
    keys = _key_frames(model, options, path, images, by_image)
    for done, (entries, poses) in enumerate(estimate(model, keys, options.single)):
        people += zip(entries, poses, strict=True)
        progress(done + 1, len(images))
    results = [_result(entry, pose, model.joints, joints) for entry, pose in people]
    write_json(results, options.predictions / PREDICTIONS, overwrite=options.overwrite)

    scored = coco_stats(truth, results, path, notices)
    report = {"metric": "coco", **scored, **options.describe(model), "boxes": _boxes(options, len(people))}
    if options.boxes.file is None:
        sources = {image["id"]: str(image.get("source", "coco")) for image in truth["images"]}
        report |= _pck(people, joints, model.joints, sources)
    else:
        report |= {"pck": None, "pck_error": "PCK needs a box for each annotated person: give --boxes gt"}
    return {**report, "warnings": notices.lines()}


def coco_file(data: Path, split: str) -> Path:
    """The annotation file: ``data`` itself, or its SPLIT.json."""
    if data.is_file():
        return data
    places = [data / f"{split}.json", data / "annotations" / f"{split}.json"]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise InputError(f"{places[0]}: no such file; give --data a COCO-keypoints JSON file, or a folder with one")
    return found


def _boxes(options: RunOptions, count: int) -> dict[str, Any]:
    if options.boxes.file is None:
        return {"source": "gt", "boxes": count}
    return {"source": "detected", "file": options.boxes.file.name, "min_score": options.min_score, "boxes": count}


def _key_frames(
    model: PoseModel, options: RunOptions, path: Path, images: Sequence[Entry], by_image: dict[int, list[Entry]]
) -> Iterator[tuple[list[Entry], KeyFrame]]:
    pictures = Pictures(options.blur, keep=1)
    middle = model.window // 2
    for i, image in enumerate(images):
        frame = pictures.read(path.parent / image["file_name"], i)
        entries = by_image[image["id"]]
        people = []
        for k, entry in enumerate(entries):
            x, y, w, h = entry["bbox"]
            score = float(entry["score"]) if options.boxes.file is not None else 1.0
            people.append(Person(k, np.array([x, y, x + w, y + h], dtype=np.float64), score))
        padded = tuple(place != middle for place in range(model.window))
        yield entries, KeyFrame((frame,) * model.window, padded, tuple(people))


def _result(entry: Entry, pose: Pose, have: Sequence[str], want: Sequence[str]) -> Entry:
    """A COCO result with the annotations' joints; one that the model lacks stands at (0, 0) with v = 0."""
    at = {joint: i for i, joint in enumerate(have)}
    points: list[float] = []
    for joint in want:
        known = joint in at
        points += [*map(float, pose.keypoints[at[joint]]), 1.0] if known else [0.0, 0.0, 0.0]
    mean = np.mean([pose.confidence[at[joint]] for joint in COCO17.joints if joint in at])
    return {
        "image_id": entry["image_id"],
        "category_id": entry["category_id"],
        "keypoints": points,
        "keypoint_scores": [float(pose.confidence[at[joint]]) if joint in at else 0.0 for joint in want],
        "bbox": list(entry["bbox"]),
        "score": float(mean * pose.score),
    }


def _pck(
    people: list[tuple[Entry, Pose]], joints: Sequence[str], have: Sequence[str], sources: dict[int, str]
) -> dict[str, Any]:
    """PCK and exchanged joints, of those that people labelled: a teacher's (``keypoint_source`` other than g) do not
    count."""
    columns = [joints.index(joint) if joint in joints else None for joint in BODY12]
    mine = [list(have).index(joint) for joint in BODY12]
    truth, visible = np.zeros((len(people), 12, 2)), np.zeros((len(people), 12), dtype=bool)
    found = np.array([pose.keypoints[mine] for _, pose in people]).reshape(-1, 12, 2)
    for n, (entry, _) in enumerate(people):
        points = np.array(entry["keypoints"], dtype=np.float64).reshape(-1, 3)
        letters = entry.get("keypoint_source") or "g" * len(points)
        for j, column in enumerate(columns):
            if column is not None and points[column, 2] > 0 and letters[column] == "g":
                truth[n, j], visible[n, j] = points[column, :2], True
    return {
        "pck": pck(found, truth, visible, BODY12, sources=[sources[entry["image_id"]] for entry, _ in people]),
        "exchanged": exchanged(found, truth, visible, BODY12),
    }
