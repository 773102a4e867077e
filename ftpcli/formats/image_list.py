"""Reading documents with ``images`` and ``annotations``: COCO keypoints, and PoseTrack 2018 and 2021."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np

from ftpcli.errors import InputError
from ftpcli.formats import checks
from ftpcli.formats.store import PoseStore
from ftpcli.skeleton import POSETRACK15, POSETRACK17

_MOST_NUMBERS = 3_000


class ImageList:
    """Collects images, annotations and categories, in whatever order the file has them.

    Ground truth reads as poses of score 1 whose labelled joints have confidence 1.
    """

    def __init__(self, store: PoseStore) -> None:
        self._store = store
        self._categories: dict[int, tuple[str, ...]] = {}
        self._sizes: set[tuple[int, int] | None] = set()
        self._videos: set[str] = set()
        self._ids = array("q")

    def add(self, key: str, value: Any, where: str) -> None:
        """One element of a root list. Raises InputError."""
        entry = checks.as_object(value, "an entry", where)
        if key == "images":
            self._add_image(entry, where)
        elif key == "annotations":
            self._add_annotation(entry, where)
        elif key == "categories" and entry.get("keypoints"):
            number = checks.integer(checks.field(entry, "id", where), "'id'", where)
            self._categories[number] = checks.joint_names(entry["keypoints"], where)
            if len(self._categories) > 1:
                raise InputError(f"{where}: a second category with keypoints; files with one are read")

    def category(self) -> tuple[int, tuple[str, ...]]:
        """Id and joint names of the category of people. Raises InputError."""
        for found in self._categories.items():
            return found
        raise InputError(
            f"{self._store.path}: no category names its keypoints, so nobody can tell which joint is which"
        )

    def file_format(self) -> str:
        """PoseTrack names its 17 slots otherwise than COCO."""
        names = set(self.category()[1])
        return "posetrack" if names in (set(POSETRACK17.joints), set(POSETRACK15.joints)) else "coco"

    def size(self) -> tuple[int, int] | None:
        """Width and height, where all images state the same."""
        return next(iter(self._sizes)) if len(self._sizes) == 1 else None

    def check(self) -> None:
        """What can be checked only at the end. Raises InputError."""
        ids = np.sort(np.array(self._ids, dtype=np.int64))
        twice = ids[1:][ids[1:] == ids[:-1]]
        if len(twice):
            raise InputError(f"{self._store.path}: annotation id {twice[0]} stands twice")

    def _add_image(self, image: dict[str, Any], where: str) -> None:
        number = checks.integer(checks.field(image, "id", where), "'id'", where, low=-checks.MAX_INTEGER)
        checks.relative_name(checks.field(image, "file_name", where), "'file_name'", where)
        video = image.get("video_id", image.get("vid_id"))
        if isinstance(video, str | int):
            self._videos.add(str(video)[:100])
            if len(self._videos) > 1:
                first, second = sorted(self._videos)
                raise InputError(f"{where}: frames of several videos ({first}, {second}); give a file of one video")
        # A set of three tells "they differ" as well as a larger one.
        if len(self._sizes) < 3:
            self._sizes.add(checks.picture_size(image, where))
        else:
            checks.picture_size(image, where)
        self._store.add_frame(number, image, where)

    def _add_annotation(self, entry: dict[str, Any], where: str) -> None:
        if "id" in entry:
            self._ids.append(checks.integer(entry["id"], "'id'", where, low=-checks.MAX_INTEGER))
        image = checks.integer(checks.field(entry, "image_id", where), "'image_id'", where, low=-checks.MAX_INTEGER)
        category = checks.integer(entry.get("category_id", 1), "'category_id'", where)
        if entry.get("iscrowd"):
            return
        table = _joints(entry, where)
        bbox = entry.get("bbox")
        box = box_of_joints(table) if bbox is None else checks.box(bbox, where)
        if box is None:
            return
        track, score = entry.get("track_id"), entry.get("score")
        self._store.add_person(
            image,
            None if track is None else checks.integer(track, "'track_id'", where, low=-checks.MAX_INTEGER),
            category,
            1.0 if score is None else min(max(checks.number(score, "'score'", where), 0.0), 1.0),
            box,
            table,
            where,
            entry.get("filled") is True,
        )


def _joints(entry: dict[str, Any], where: str) -> np.ndarray:
    """(K, 3) x, y, confidence of an annotation, confidence in 0..1."""
    # PoseTrack21 has people with a box only.
    values = checks.as_list(entry.get("keypoints") or [], "'keypoints'", where, _MOST_NUMBERS)
    flat = checks.numbers(values, "'keypoints'", where)
    if len(flat) % 3:
        raise InputError(f"{where}: 'keypoints' has {len(flat)} numbers, which is not a multiple of three")
    table = flat.reshape(-1, 3).copy()
    absent = ~table.any(axis=1)
    # Empty "scores" is how PoseTrack's ground truth says that it has none.
    for key in ("keypoint_scores", "scores"):
        if entry.get(key):
            table[:, 2] = checks.numbers(entry[key], f"{key!r}", where, len(table))
            break
    table[:, 2] = np.clip(table[:, 2], 0.0, 1.0)
    table[absent] = 0.0
    return table


def box_of_joints(table: np.ndarray) -> np.ndarray | None:
    """The box of a person for whom none is given, as PoseTrack 2018 derives it: the joints' extent scaled by 1.3
    about its centre. None without joints.

    Args:
        table: (K, 3) x, y, confidence.
    """
    points = table[table[:, 2] > 0, :2]
    if not len(points):
        return None
    low, high = points.min(axis=0), points.max(axis=0)
    grown = (high - low) * 0.15
    return np.concatenate([low - grown, high + grown])
