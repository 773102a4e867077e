"""Documents with ``images``, ``annotations`` and ``categories``: COCO keypoints and boxes of any maker, CocoVID,
PoseTrack 2018 and 2021; and COCO's plain lists of results.

Entries are views: a field is checked when it is asked for, so one that nobody uses is never a reason to refuse a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ftpcli.datasets.boxes import POSETRACK2018, box_of_joints
from ftpcli.datasets.document import Document
from ftpcli.datasets.left_out import UNLISTED, LeftOut
from ftpcli.errors import InputError
from ftpcli.files import checked_json as checks
from ftpcli.skeleton import COCO17

#: From this confidence on a joint in our files has v = 2 ("visible"); below, v = 1, a guess that correctors should look
#: at. A joint that is not there has v = 0 and stands at (0, 0). All confidences stand in ``keypoint_scores``.
VISIBLE = 0.3
LISTS = ("images", "annotations", "categories")
#: Names of the category of people, in lower case.
_PERSON = frozenset(("person", "persons", "people", "pedestrian", "human"))
_MOST_NUMBERS = 3_000
#: Ids are numbers; some tools write text.
Id = int | str
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}")


def identity(entry: dict[str, Any], key: str, where: str) -> Id:
    """An id of an entry: a whole number, also one that is written as text, or other text."""
    value = checks.field(entry, key, where)
    if isinstance(value, str):
        return int(value) if _NUMBER.fullmatch(value) else value
    return checks.integer(value, f"{key!r}", where, low=-checks.MAX_INTEGER)


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """An entry of ``images``."""

    entry: dict[str, Any]
    where: str

    @property
    def id(self) -> Id:
        return identity(self.entry, "id", self.where)

    @property
    def name(self) -> str:
        """``file_name`` as given, "" where missing: relative, absolute, with either kind of slash."""
        name = self.entry.get("file_name")
        return "" if name is None else checks.as_text(name, "'file_name'", self.where)

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height."""
        return checks.picture_size(self.entry, self.where)

    @property
    def video(self) -> str | None:
        video = self.entry.get("video_id", self.entry.get("vid_id"))
        return str(video)[:100] if isinstance(video, str | int) else None

    @property
    def frame_index(self) -> int | None:
        """Our own number of the frame, 0-based among all decoded frames."""
        return self._whole("frame_index")

    @property
    def frame_id(self) -> int | None:
        """CocoVID's number of the frame in its video, 0-based. (PoseTrack's field of this name is an image id.)"""
        return None if self.entry.get("video_id") is None else self._whole("frame_id")

    @property
    def pts(self) -> int | None:
        return self._whole("pts", -checks.MAX_INTEGER)

    @property
    def seconds(self) -> float | None:
        seconds = self.entry.get("seconds")
        return None if seconds is None else checks.number(seconds, "'seconds'", self.where)

    @property
    def source(self) -> str:
        """The part of a mixed data set that it comes from, "" where none is named."""
        return str(self.entry.get("source") or "")

    def _whole(self, key: str, low: int = 0) -> int | None:
        value = self.entry.get(key)
        return None if value is None else checks.integer(value, f"{key!r}", self.where, low)


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """An entry of ``annotations``, or of a list of results."""

    entry: dict[str, Any]
    where: str

    @property
    def image(self) -> Id:
        return identity(self.entry, "image_id", self.where)

    @property
    def category(self) -> Id | None:
        return None if self.entry.get("category_id") is None else identity(self.entry, "category_id", self.where)

    @property
    def crowd(self) -> bool:
        crowd = self.entry.get("iscrowd")
        return bool(crowd) and str(crowd).strip().lower() not in ("", "0", "false", "no")

    @property
    def track(self) -> Id | None:
        """The person's id: ``track_id``, CVAT's ``attributes.track_id`` or CocoVID's ``instance_id``."""
        attributes = self.entry.get("attributes")
        inner = attributes if isinstance(attributes, dict) else {}
        for holder, key in ((self.entry, "track_id"), (inner, "track_id"), (self.entry, "instance_id")):
            if holder.get(key) is not None:
                return identity(holder, key, self.where)
        return None

    @property
    def score(self) -> float | None:
        score = self.entry.get("score")
        return None if score is None else checks.number(score, "'score'", self.where)

    @property
    def keypoints(self) -> np.ndarray | None:
        """(K, 3) x, y, v; None where there is no list of them or an empty one."""
        if not self.entry.get("keypoints"):
            return None
        values = checks.as_list(self.entry["keypoints"], "'keypoints'", self.where, _MOST_NUMBERS)
        if len(values) % 3:
            raise InputError(f"{self.where}: 'keypoints' has {len(values)} numbers, which is not a multiple of three")
        return checks.numbers(values, "'keypoints'", self.where).reshape(-1, 3)

    def keypoints_of(self, joints: int) -> np.ndarray:
        """(joints, 3) x, y, v; zeros where there are none. Raises InputError where there are fewer or more."""
        points = self.keypoints
        if points is not None and len(points) != joints:
            raise InputError(f"{self.where}: 'keypoints' should be {3 * joints} numbers, not {points.size}")
        return np.zeros((joints, 3)) if points is None else points

    @property
    def table(self) -> np.ndarray:
        """(K, 3) x, y, confidence in 0..1: 0 for a joint that is not there, 1 for a labelled one, and in predictions
        what ``keypoint_scores`` or ``scores`` say. K is 0 where the person has no joints, as in PoseTrack 2021."""
        table = self.keypoints
        if table is None:
            return np.zeros((0, 3))
        absent = ~table.any(axis=1)
        own, scores = (self.numbers_a_joint(key, len(table)) for key in ("keypoint_scores", "scores"))
        if own is not None:
            # Our own field: where v does not go with it, somebody has corrected the joint.
            corrected = np.where(own < VISIBLE, 1.0, own)
            table[:, 2] = np.where(table[:, 2] >= 2, corrected, np.where(table[:, 2] > 0, own, 0.0))
        elif scores is not None:
            table[:, 2] = scores
        table[:, 2] = np.clip(table[:, 2], 0.0, 1.0)
        table[absent] = 0.0
        return table

    def numbers_a_joint(self, key: str, count: int) -> np.ndarray | None:
        """(count,) of a list with one number a joint, such as ``scores``; None where it is missing or empty."""
        return checks.numbers(self.entry[key], f"{key!r}", self.where, count) if self.entry.get(key) else None

    @property
    def human(self) -> bool:
        """A human's label, not a model's (``label``, a field of ours)."""
        return self.entry.get("label", "gt") == "gt"

    def by_human(self, count: int) -> np.ndarray:
        """(count,) bool, the joints that a human labelled: ``keypoint_source``, a field of ours, one letter a joint."""
        letters = self.entry.get("keypoint_source")
        if letters is None:
            return np.ones(count, dtype=bool)
        letters = checks.as_text(letters, "'keypoint_source'", self.where)
        if len(letters) != count:
            raise InputError(f"{self.where}: 'keypoint_source' has {len(letters)} letters, expected {count}")
        return np.array([letter == "g" for letter in letters])

    @property
    def own_box(self) -> np.ndarray | None:
        """(4,) xyxy of ``bbox``; None where it is missing, empty or without area."""
        if not self.entry.get("bbox"):
            return None
        box = checks.box(self.entry["bbox"], self.where)
        return box if box[2] > box[0] and box[3] > box[1] else None

    @property
    def box(self) -> np.ndarray | None:
        """(4,) xyxy: the file's own, else one around the joints, else the outline's; None without any of them."""
        box = self.own_box
        if box is None:
            table = self.table
            box = box_of_joints(table[table[:, 2] > 0, :2], POSETRACK2018)
        if box is None and (outline := self.outline):
            box = box_of_joints(np.concatenate(outline), (1.0, 0.0))
        return box

    def area(self, box: np.ndarray) -> float:
        """Square pixels: the file's, or where it has none (also 0) those of the (4,) xyxy box."""
        area = self.entry.get("area")
        known = 0.0 if area is None else checks.number(area, "'area'", self.where)
        return known or float((box[2] - box[0]) * (box[3] - box[1]))

    @property
    def outline(self) -> list[np.ndarray]:
        """The (n, 2) polygons of ``segmentation``; empty for crowds and run-length masks."""
        polygons = self.entry.get("segmentation")
        if self.crowd or not isinstance(polygons, list):
            return []
        found = []
        for polygon in polygons:
            if not isinstance(polygon, list) or len(polygon) % 2:
                raise InputError(f"{self.where}: 'segmentation' is no list of polygons (x, y, x, y, ...)")
            if len(polygon) >= 6:
                found.append(checks.numbers(polygon, "'segmentation'", self.where).reshape(-1, 2))
        return found


@dataclass(frozen=True, slots=True)
class Category:
    """An entry of ``categories``."""

    id: Id
    name: str
    joints: tuple[str, ...]  # empty where it names no keypoints

    @classmethod
    def of(cls, value: Any, where: str) -> Category:
        entry = checks.as_object(value, "a category", where)
        names = entry.get("keypoints") or []
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError(f"{where}: 'keypoints' should be a list of joint names")
        if len(set(names)) < len(names):
            raise InputError(f"{where}: joint names must stand there each once")
        number = identity(entry, "id", where) if "id" in entry else 1  # COCO's own number for people
        return cls(number, str(entry.get("name") or ""), tuple(names))


#: The category of people in a file that lists no categories.
COCO_PERSON = Category(1, "person", ())


def joints_of(people: Category, needed: bool, path: Path | str) -> tuple[str, ...]:
    """Names of the keypoints of people; COCO's 17 where the file names none and they are not ``needed``.

    Raises:
        InputError: they are needed and the file names none.
    """
    if needed and not people.joints:
        raise InputError(
            f"{path}: no category names its keypoints, so nobody can tell which joint is which; list their names in "
            "order as 'keypoints' of the category of people"
        )
    return people.joints or COCO17.joints


def category_of_people(categories: Sequence[Category], path: str | Path) -> Category:
    """The category with keypoints; among several, or where none has any, the one that is called person. COCO's own
    where a file lists none.

    Raises:
        InputError: none, or several, are that; the message lists them.
    """
    if not categories:
        return COCO_PERSON
    found = [category for category in categories if category.joints] or list(categories)
    if len(found) > 1 or not any(category.joints for category in found):
        called = [category for category in found if category.name.strip().lower() in _PERSON]
        found = called or [category for category in found if not category.name]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(repr(category.name or category.id) for category in categories)
    raise InputError(f"{path}: which category is people? One of them should be called person; it has {listed}")


@dataclass(slots=True, eq=False)
class CocoFile:
    """A whole document in memory. A joint's name stands in ``people.joints``."""

    path: Path
    images: dict[Id, Image] = field(default_factory=dict)
    categories: list[Category] = field(default_factory=list)
    annotations: list[Annotation] = field(default_factory=list)
    people: Category = COCO_PERSON
    left_out: LeftOut = field(default_factory=LeftOut)

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of the keypoints; COCO's 17 where nobody has any. Raises InputError where they have no names."""
        return joints_of(self.people, any(one.entry.get("keypoints") for one in self.annotations), self.path)


def read_coco(path: Path | str) -> CocoFile:
    """A document's images and its annotations of people, crowds included. Annotations of other categories and of
    images that are not listed are left out and counted.

    Raises:
        InputError: unreadable, no such document, an image stands twice, or no category is people.
    """
    file = CocoFile(Path(path))
    document, annotations, names = Document(path), list[Annotation](), set[str]()
    for key, value, where in document.items(*LISTS, "annolist"):
        if key == "images":
            image = Image(checks.as_object(value, "an image", where), where)
            if image.id in file.images:
                raise InputError(f"{where}: image id {image.id!r} stands twice")
            if image.name and image.name in names:
                raise InputError(f"{where}: the picture {image.name!r} stands twice; make it one image")
            names.add(image.name)
            file.images[image.id] = image
        elif key == "annotations":
            annotations.append(Annotation(checks.as_object(value, "an annotation", where), where))
        elif key == "categories":
            file.categories.append(Category.of(value, where))
    if document.plain or "annolist" in document.keys:
        raise InputError(f"{path}: {'a plain list' if document.plain else 'a PoseTrack17 file'}, not a COCO file")
    for key in ("images", "annotations"):
        if key not in document.keys:
            raise InputError(f"{path}: not a COCO file, it lacks {key!r}")
    file.people = category_of_people(file.categories, path)
    file.annotations = list(of_people(annotations, file.categories, file.people, file.left_out))
    unlisted = [a for a in file.annotations if a.image not in file.images]
    if unlisted:
        file.annotations = [a for a in file.annotations if a.image in file.images]
        file.left_out.add(UNLISTED, len(unlisted))
    return file


def of_people(
    annotations: Iterable[Annotation], categories: Sequence[Category], people: Category, left_out: LeftOut
) -> Iterator[Annotation]:
    """Those of the category, or of none; the others are counted."""
    names = {category.id: category.name or str(category.id) for category in categories}
    for annotation in annotations:
        category = annotation.category
        if category is None or category == people.id:
            yield annotation
        else:
            left_out.add(f"of category {names.get(category, category)}")


def is_list(path: Path | str) -> bool:
    """Whether a JSON document is a plain list, as COCO's results are."""
    document = Document(path)
    next(document.items(), None)
    return document.plain


def read_results(path: Path | str) -> Iterator[Annotation]:
    """The entries of a plain list of results (COCO's form), one by one.

    Raises:
        InputError: unreadable, or not such a list.
    """
    document = Document(path)
    for _, value, where in document.items():
        if not document.plain:
            break
        yield Annotation(checks.as_object(value, "an entry", where), where)
    if not document.plain:
        raise InputError(f"{path}: not a plain list of results")
