"""A model on still pictures of a COCO-keypoints file; the window is the picture repeated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ftpcli.datasets.coco import Annotation, Id
from ftpcli.datasets.detections import read_detections
from ftpcli.datasets.pictures import all_pictures
from ftpcli.errors import InputError
from ftpcli.evaluation.coco_files import PERSON, Truth
from ftpcli.evaluation.notices import Notices
from ftpcli.evaluation.oks import coco_stats
from ftpcli.evaluation.pck import exchanged, pck, reliability
from ftpcli.evaluation.pictures import Pictures
from ftpcli.evaluation.report import write_json
from ftpcli.evaluation.runs import PREDICTIONS, KeyFrame, PoseModel, Progress, RunOptions, estimate
from ftpcli.records import Person, Pose
from ftpcli.skeleton import BODY12, COCO17


@dataclass(frozen=True, slots=True, eq=False)
class _Box:
    """A person to be estimated."""

    image: Id
    box: np.ndarray  # (4,) xyxy
    score: float
    annotation: Annotation | None = None  # None where the box was detected


def evaluate_coco_data(model: PoseModel, options: RunOptions, progress: Progress) -> dict[str, Any]:
    """OKS AP by pycocotools and, with boxes of the annotations, PCK of the human labels."""
    path, notices = coco_file(options.data, options.split), Notices()
    truth = Truth(path, notices)
    by_image: dict[Id, list[_Box]] = {}
    for one in _boxes(truth, options, notices):
        by_image.setdefault(one.image, []).append(one)
    names = {key: truth.file.images[key].name for key in truth.file.images if key in by_image}
    paths = all_pictures(path, names, options.images)

    if options.results is None:
        options.prepare([PREDICTIONS])
    people: list[tuple[_Box, Pose]] = []
    pictures = [(place, truth.file.images[key].size, by_image[key]) for key, place in paths.items()]
    keys = _key_frames(model, options, pictures)
    for done, (boxes, poses) in enumerate(estimate(model, keys, options.single)):
        people += zip(boxes, poses, strict=True)
        progress(done + 1, len(paths))
    results = [_result(one, pose, model.joints, truth) for one, pose in people]
    write_json(results, options.results or options.predictions / PREDICTIONS, overwrite=options.overwrite)

    scored = coco_stats(truth, results, notices)
    source: dict[str, Any] = {"source": "gt", "boxes": len(people)}
    if options.boxes.file is not None:
        source |= {"source": "detected", "file": options.boxes.file.name, "min_score": options.min_score}
    report = {"metric": "coco", **scored, **options.describe(model), "boxes": source}
    if options.boxes.file is None:
        report |= _pck(people, truth, model.joints)
    else:
        report |= {"pck": None, "pck_error": "PCK needs a box for each annotated person: give --boxes gt"}
    return {**report, "warnings": notices.lines()}


def _boxes(truth: Truth, options: RunOptions, notices: Notices) -> Iterator[_Box]:
    if options.boxes.file is None:
        for annotation in truth.people:
            box = None if annotation.crowd else annotation.box
            if box is not None:
                yield _Box(annotation.image, box, 1.0, annotation)
    else:
        file, images = options.boxes.file, truth.file.images

        def picture(entry: Annotation) -> Id | None:
            return entry.image if entry.image in images else None

        detections: dict[Id, np.ndarray]
        detections, left_out = read_detections(file, picture, options.min_score, truth.file.people.id)
        for line in left_out.lines():
            notices.add("boxes left out", file, line)
        yield from (_Box(image, row[:4], float(row[4])) for image, rows in detections.items() for row in rows)


def coco_file(data: Path, split: str) -> Path:
    """The annotation file: ``data`` itself, or its SPLIT.json."""
    if data.is_file():
        return data
    places = [data / f"{split}.json", data / "annotations" / f"{split}.json"]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise InputError(
            f"{places[0]}: no such file or folder; give --data a COCO-keypoints JSON file, or a folder with one"
        )
    return found


def _key_frames(
    model: PoseModel, options: RunOptions, pictures: Sequence[tuple[Path, tuple[int, int] | None, list[_Box]]]
) -> Iterator[tuple[list[_Box], KeyFrame]]:
    reader = Pictures(options.blur, keep=1)
    padded = tuple(place != model.window // 2 for place in range(model.window))
    for i, (path, size, boxes) in enumerate(pictures):
        people = tuple(Person(k, one.box, one.score) for k, one in enumerate(boxes))
        yield boxes, KeyFrame((reader.read(path, i, size),) * model.window, padded, people)


def _result(one: _Box, pose: Pose, have: Sequence[str], truth: Truth) -> dict[str, Any]:
    """A COCO result with the annotations' joints; one that the model lacks stands at (0, 0) with v = 0."""
    at = {joint: i for i, joint in enumerate(have)}
    points: list[float] = []
    for joint in truth.joints:
        points += [*map(float, pose.keypoints[at[joint]]), 1.0] if joint in at else [0.0, 0.0, 0.0]
    mean = np.mean([pose.confidence[at[joint]] for joint in COCO17.joints if joint in at])
    x1, y1, x2, y2 = one.box.tolist()
    return {
        "image_id": truth.number(one.image),
        "category_id": PERSON,
        "keypoints": points,
        "keypoint_scores": [float(pose.confidence[at[joint]]) if joint in at else 0.0 for joint in truth.joints],
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "score": float(mean * pose.score),
    }


def _pck(people: list[tuple[_Box, Pose]], truth: Truth, have: Sequence[str]) -> dict[str, Any]:
    """PCK, exchanged joints and what confidence means, of joints that people labelled: a teacher's
    (``keypoint_source`` other than g) do not count."""
    columns = [truth.joints.index(joint) if joint in truth.joints else None for joint in BODY12]
    mine = [list(have).index(joint) for joint in BODY12]
    places, visible = np.zeros((len(people), 12, 2)), np.zeros((len(people), 12), dtype=bool)
    found = np.array([pose.keypoints[mine] for _, pose in people]).reshape(-1, 12, 2)
    sure = np.array([pose.confidence[mine] for _, pose in people]).reshape(-1, 12)
    for n, (one, _) in enumerate(people):
        points = None if one.annotation is None else one.annotation.keypoints
        if one.annotation is None or points is None:
            continue
        by_human = one.annotation.by_human(len(points))
        for j, column in enumerate(columns):
            if column is not None and points[column, 2] > 0 and by_human[column]:
                places[n, j], visible[n, j] = points[column, :2], True
    sources = [truth.file.images[one.image].source or "coco" for one, _ in people]
    return {
        "pck": pck(found, places, visible, BODY12, sources=sources),
        "exchanged": exchanged(found, places, visible, BODY12),
        "reliability": reliability(found, sure, places, visible, BODY12),
    }
