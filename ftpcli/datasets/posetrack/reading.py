"""Reads a PoseTrack file of either form (specification A2, A3, A5, A6)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ftpcli.datasets.coco import LISTS, Annotation, Category, Id, Image
from ftpcli.datasets.document import Document
from ftpcli.datasets.posetrack.files import JOINTS, FrameEntry, PeopleRows, VideoFile
from ftpcli.datasets.posetrack.form2017 import read_frame
from ftpcli.errors import InputError
from ftpcli.files import checked_json as checks
from ftpcli.skeleton import POSETRACK17


def read_video(path: Path | str, slots: bool = False) -> VideoFile:
    """Read one file; its form is recognised by the key ``annolist`` (A3, A6).

    Args:
        path: the JSON file.
        slots: read keypoints by PoseTrack's 17 slots without asking ``categories`` for names, as the
            PoseTrack21 program does.

    Raises:
        InputError: in one line, what is wrong with the file.
    """
    path = Path(path)
    if path.suffix.lower() == ".mat":
        raise InputError(f"{path}: PoseTrack17 .mat files are not read; use the JSON files of the same annotations")
    document, old, new = Document(path), _Form2017(), _Form2018()
    for key, value, where in document.items(*LISTS, "annolist"):
        if document.plain:
            raise InputError(f"{path}: not a PoseTrack file (the outermost value is a list)")
        if key == "annolist":
            old.add(value, where)
        elif key in LISTS:
            new.add(key, value, where)
    if "annolist" in document.keys:
        return old.rows.video(path, "2017", old.frames)
    lacks = [key for key in ("images", "annotations") if key not in document.keys]
    if len(lacks) == 2:
        raise InputError(f"{path}: not a PoseTrack file (it has neither 'annolist' nor 'images' and 'annotations')")
    if lacks:
        raise InputError(f"{path}: lacks {lacks[0]!r}")
    return new.video(path, slots)


class _Form2017:
    def __init__(self) -> None:
        self.rows, self.frames = PeopleRows(), list[FrameEntry]()

    def add(self, value: Any, where: str) -> None:
        frame, start = read_frame(value, where), len(self.rows)
        for p in frame.people:
            self.rows.add(p.track, p.keypoints, p.present, p.scores, p.head, container=p.container)
        rows = slice(start, len(self.rows))
        self.frames.append(FrameEntry(frame.name, None, frame.labelled, None, frame.regions, rows))


class _Form2018:
    """Collects images, annotations and joint names, in whatever order the lists stand."""

    def __init__(self) -> None:
        self.images: dict[Id, Image] = {}
        self.annotations: list[Annotation] = []
        self.categories: list[Category] = []

    def add(self, key: str, value: Any, where: str) -> None:
        if key == "categories":
            self.categories.append(Category.of(value, where))
        elif key == "annotations":
            self.annotations.append(Annotation(checks.as_object(value, "an annotation", where), where))
        else:
            image = Image(checks.as_object(value, "an image", where), where)
            if image.id in self.images:
                raise InputError(f"{where}: image id {image.id!r} stands twice")
            self.images[image.id] = image

    def video(self, path: Path, slots: bool) -> VideoFile:
        """Everything that was added, in the order of the images."""
        names = _slot_names(path, self.categories) if slots else _joint_names(path, self.categories)
        columns = np.array([names.index(joint) for joint in JOINTS])
        of_image: dict[Id, list[Annotation]] = {number: [] for number in self.images}
        orphans = empty = jointless = 0
        for annotation in self.annotations:
            if annotation.image in of_image:
                of_image[annotation.image].append(annotation)
            else:
                orphans += 1
        rows, frames = PeopleRows(), []
        for number, image in self.images.items():
            start, whole = len(rows), True
            boxes_only = "has_labeled_person" in image.entry  # 2021 has people with a box and without joints
            for annotation in of_image[number]:
                points = annotation.entry.get("keypoints")
                if not points and not boxes_only:
                    jointless += 1
                    continue
                # any() stops at the first float, so this costs nothing for ordinary files.
                whole = whole and not any(type(v) is float for v in points or (0.0,))
                empty += annotation.entry.get("scores") == []
                _add_person(rows, annotation, len(names), columns)
            checks.field(image.entry, "file_name", image.where)
            frames.append(
                FrameEntry(
                    name=image.name,
                    image_id=number,
                    labelled=_flag(image.entry.get("is_labeled")),
                    labelled_person=_flag(image.entry.get("has_labeled_person")),
                    regions=_regions(image.entry, image.where),
                    rows=slice(start, len(rows)),
                    whole_numbers=whole and len(rows) > start,
                )
            )
        return rows.video(path, "2018", frames, orphans=orphans, empty_scores=empty, jointless=jointless)


def _flag(value: Any) -> bool | None:
    return None if value is None else bool(value)


def _refuse_eyes(path: Path, names: Sequence[str]) -> None:
    if ("left_eye" in names or "right_eye" in names) and not {"head_bottom", "head_top"} <= set(names):
        raise InputError(
            f"{path}: has COCO's eyes where PoseTrack needs head_bottom and head_top; write predictions with those"
        )


def _joint_names(path: Path, categories: Sequence[Category]) -> tuple[str, ...]:
    """The file's joint names; all 15 of PoseTrack must occur (A6)."""
    names = next((category.joints for category in categories if category.joints), None)
    if names is None:
        raise InputError(f"{path}: lacks 'categories' with the joint names, which the evaluation reads joints by")
    _refuse_eyes(path, names)
    missing = [joint for joint in JOINTS if joint not in names]
    if missing:
        raise InputError(f"{path}: the category lacks the joint {missing[0]} (all 15 PoseTrack joints must be named)")
    return names


def _slot_names(path: Path, categories: Sequence[Category]) -> tuple[str, ...]:
    """PoseTrack's 17 slots; the PoseTrack21 program never asks for names, so others are refused here."""
    names = next((category.joints for category in categories if category.joints), POSETRACK17.joints)
    if names != POSETRACK17.joints:
        _refuse_eyes(path, names)
        raise InputError(
            f"{path}: PoseTrack21's evaluation reads the 17 PoseTrack slots in their order, the category names others"
        )
    return names


def _regions(image: dict[str, Any], where: str) -> tuple[np.ndarray, ...] | None:
    """Polygons of the parallel lists; None where the fields are absent."""
    xs, ys = image.get("ignore_regions_x"), image.get("ignore_regions_y")
    if xs is None or ys is None:
        return None
    if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
        raise InputError(f"{where}: 'ignore_regions_x' and 'ignore_regions_y' do not fit together")
    polygons = []
    for x, y in zip(xs, ys, strict=True):
        px = checks.numbers(x, "'ignore_regions_x'", where)
        polygons.append(np.stack([px, checks.numbers(y, "'ignore_regions_y'", where, len(px))], axis=1))
    return tuple(polygons)


def _corners(annotation: Annotation, key: str) -> np.ndarray | None:
    """(4,) xyxy of a box, whatever its size: the evaluation takes heads as they are."""
    if not annotation.entry.get(key):
        return None
    x, y, w, h = checks.numbers(annotation.entry[key], f"{key!r}", annotation.where, 4)
    return np.array([x, y, x + w, y + h])


def _add_person(rows: PeopleRows, annotation: Annotation, joints: int, columns: np.ndarray) -> None:
    points = annotation.keypoints_of(joints)[columns]
    scores = annotation.numbers_a_joint("scores", joints)
    if scores is None and annotation.entry.get("scores") is None:
        scores = annotation.numbers_a_joint("keypoint_scores", joints)
        if scores is not None:
            # Our COCO files keep the joints' own confidence; the person's score is folded in as A6 advises.
            scores = scores * (1.0 if annotation.score is None else annotation.score)
    track = annotation.track
    if isinstance(track, str):
        raise InputError(f"{annotation.where}: the track id {track!r} is text; PoseTrack's programs take numbers only")
    rows.add(
        track=track,
        keypoints=points[:, :2],
        present=(points != 0).any(axis=1),
        scores=np.full(len(columns), np.nan) if scores is None else scores[columns],
        head=_corners(annotation, "bbox_head"),
        box=_corners(annotation, "bbox"),
    )
