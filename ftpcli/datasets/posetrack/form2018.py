"""The 2018 form, ``images`` and ``annotations``, which 2021 extends (specification A2, A5, A6)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ftpcli.datasets.posetrack.files import JOINTS, FrameEntry, PeopleRows, VideoFile
from ftpcli.errors import InputError
from ftpcli.files.jsonfile import need, need_list, numbers, whole_number
from ftpcli.skeleton import POSETRACK17


def read_2018(path: Path, data: dict[str, Any], slots: bool = False) -> VideoFile:
    """Read the parsed content of a file with ``images`` and ``annotations``."""
    names = _slot_names(path, data) if slots else _joint_names(path, data)
    columns = np.array([names.index(joint) for joint in JOINTS])
    images = need_list(data, "images", path, "the file")
    annotations = need_list(data, "annotations", path, "the file")

    by_image: dict[Any, list[tuple[int, dict[str, Any]]]] = {}
    for image in images:
        image_id = whole_number(need(image, "id", path, "an entry of 'images'"))
        if image_id is None:
            raise InputError(f"{path}: image id {image['id']!r} is not a whole number")
        if image_id in by_image:
            raise InputError(f"{path}: image id {image_id} is listed twice")
        by_image[image_id] = []
    orphans = 0
    for k, annotation in enumerate(annotations):
        image_id = whole_number(need(annotation, "image_id", path, f"annotation {k}"))
        if image_id in by_image:
            by_image[image_id].append((k, annotation))
        else:
            orphans += 1

    rows, frames, empty = PeopleRows(), [], 0
    for image in images:
        image_id = int(image["id"])
        start, whole = len(rows), True
        for k, annotation in by_image[image_id]:
            where = f"annotation {k}"
            if "has_labeled_person" in image and not annotation.get("keypoints"):
                values = [0.0] * (3 * len(names))  # 2021: a box without joints
            else:
                values = need_list(annotation, "keypoints", path, where)
            # any() stops at the first float, so this costs nothing for ordinary files.
            whole = whole and not any(isinstance(value, float) for value in values)
            empty += _add_person(rows, annotation, values, len(names), columns, path, where)
        name = need(image, "file_name", path, f"image {image_id}")
        if not isinstance(name, str):
            raise InputError(f"{path}: file_name of image {image_id} is not text")
        frames.append(
            FrameEntry(
                name=name,
                image_id=image_id,
                labelled=_flag(image.get("is_labeled")),
                labelled_person=_flag(image.get("has_labeled_person")),
                regions=_regions(image, path),
                rows=slice(start, len(rows)),
                whole_numbers=whole and len(rows) > start,
            )
        )
    return rows.video(path, "2018", frames, orphans, empty)


def _flag(value: Any) -> bool | None:
    return None if value is None else bool(value)


def _categories(path: Path, data: dict[str, Any]) -> tuple[str, ...] | None:
    categories = data.get("categories")
    if not isinstance(categories, list) or not categories:
        return None
    names = categories[0].get("keypoints") if isinstance(categories[0], dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: categories[0] lacks 'keypoints', the list of joint names")
    return tuple(names)


def _refuse_eyes(path: Path, names: Sequence[str]) -> None:
    if ("left_eye" in names or "right_eye" in names) and not {"head_bottom", "head_top"} <= set(names):
        raise InputError(
            f"{path}: has COCO's eyes where PoseTrack needs head_bottom and head_top; write predictions with those"
        )


def _joint_names(path: Path, data: dict[str, Any]) -> tuple[str, ...]:
    """The file's joint names; all 15 of PoseTrack must occur (A6)."""
    names = _categories(path, data)
    if names is None:
        raise InputError(f"{path}: lacks 'categories' with the joint names, which the evaluation reads joints by")
    _refuse_eyes(path, names)
    missing = [joint for joint in JOINTS if joint not in names]
    if missing:
        raise InputError(f"{path}: categories[0] lacks the joint {missing[0]} (all 15 PoseTrack joints must be named)")
    return names


def _slot_names(path: Path, data: dict[str, Any]) -> tuple[str, ...]:
    """PoseTrack's 17 slots; the PoseTrack21 program never asks for names, so others are refused here."""
    names = _categories(path, data)
    if names is not None and names != POSETRACK17.joints:
        _refuse_eyes(path, names)
        raise InputError(
            f"{path}: PoseTrack21's evaluation reads the 17 PoseTrack slots in their order, categories[0] names others"
        )
    return POSETRACK17.joints


def _regions(image: dict[str, Any], path: Path) -> tuple[np.ndarray, ...] | None:
    """Polygons of the parallel lists; None where the fields are absent."""
    xs, ys = image.get("ignore_regions_x"), image.get("ignore_regions_y")
    if xs is None or ys is None:
        return None
    where = f"ignore_regions of image {image['id']}"
    if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
        raise InputError(f"{path}: {where}: the x and y lists do not fit together")
    polygons = []
    for x, y in zip(xs, ys, strict=True):
        px, py = numbers(x, None, path, where), numbers(y, None, path, where)
        if len(px) != len(py):
            raise InputError(f"{path}: {where}: a polygon has {len(px)} x and {len(py)} y values")
        polygons.append(np.stack([px, py], axis=1))
    return tuple(polygons)


def _corners(annotation: dict[str, Any], key: str, path: Path, where: str) -> np.ndarray | None:
    value = annotation.get(key)
    if value is None or value == []:
        return None
    x, y, w, h = numbers(value, 4, path, f"{key} of {where}")
    return np.array([x, y, x + w, y + h])


def _add_person(
    rows: PeopleRows,
    annotation: dict[str, Any],
    values: list[Any],
    names: int,
    columns: np.ndarray,
    path: Path,
    where: str,
) -> int:
    """Add one annotation; returns 1 where its ``scores`` is an empty list."""
    points = numbers(values, 3 * names, path, f"keypoints of {where}").reshape(names, 3)[columns]
    scores, given = np.full(len(columns), np.nan), annotation.get("scores")
    if given is None and "keypoint_scores" in annotation:
        # Our COCO files keep the joints' own confidence; the person's score is folded in as A6 advises.
        own = numbers(annotation["keypoint_scores"], names, path, f"keypoint_scores of {where}")[columns]
        scores = own * float(numbers([annotation.get("score", 1.0)], 1, path, f"score of {where}")[0])
    elif given:
        scores = numbers(given, names, path, f"scores of {where}")[columns]
    track = annotation.get("track_id")
    if track is not None and whole_number(track) is None:
        raise InputError(f"{path}: track_id {track!r} of {where} is not a whole number")
    identity = whole_number(annotation.get("person_id"))
    rows.add(
        track=None if track is None else whole_number(track),
        keypoints=points[:, :2],
        present=(points != 0).any(axis=1),
        scores=scores,
        head=_corners(annotation, "bbox_head", path, where),
        box=_corners(annotation, "bbox", path, where),
        person_id=-1 if identity is None else identity,
    )
    return int(given == [])
