"""COCO-keypoints files, results and detection lists in the form that pycocotools takes, every number checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ftpcli.datasets.coco import Annotation, CocoFile, Id, read_coco, read_results
from ftpcli.datasets.document import Document
from ftpcli.datasets.left_out import EMPTY
from ftpcli.errors import InputError
from ftpcli.evaluation.notices import Notices
from ftpcli.files import checked_json as checks
from ftpcli.skeleton import COCO17

Entry = dict[str, Any]
#: The category of people in everything that is handed on.
PERSON = 1


class Truth:
    """The people of a COCO-keypoints file.

    Annotations are numbered anew from 1: pycocotools takes annotation 0 for "no match". Images keep their numbers;
    where one is text, all are numbered anew.

    Attributes:
        file: as read.
        people: the annotations, crowds included, one for each entry of ``data["annotations"]``.
        data: what pycocotools takes.
    """

    def __init__(self, path: Path, notices: Notices) -> None:
        self.file: CocoFile = read_coco(path)
        self.path, self.joints = self.file.path, self.file.joints
        plain = all(isinstance(key, int) for key in self.file.images)
        self._numbers = {key: key if plain else place for place, key in enumerate(self.file.images)}
        self.people: list[Annotation] = []
        entries: list[Entry] = []
        for annotation in self.file.annotations:
            box, points = annotation.box, annotation.keypoints
            if box is None:
                self.file.left_out.add(EMPTY)
                continue
            table = np.zeros((len(self.joints), 3)) if points is None else points
            if len(table) != len(self.joints):
                raise InputError(
                    f"{annotation.where}: 'keypoints' should be {3 * len(self.joints)} numbers, not {table.size}"
                )
            self.people.append(annotation)
            entries.append(self._entry(annotation, len(self.people), box, table))
        left_out = self.file.left_out
        if left_out.counts and not entries:
            raise InputError(f"{path}: no person is left{left_out.why()}")
        if not any(entry["num_keypoints"] for entry in entries):
            raise InputError(f"{path}: nobody has a labelled joint, nothing can be evaluated")
        for line in left_out.lines():
            notices.add("left out", path, line)
        category = {"id": PERSON, "name": "person", "keypoints": list(self.joints)}
        images = [{"id": number} for number in self._numbers.values()]
        self.data: Entry = {"images": images, "annotations": entries, "categories": [category]}

    def number(self, image: Id) -> int | None:
        """The number of an image, None where it is not listed."""
        number = self._numbers.get(image)
        return None if number is None else int(number)

    def _entry(self, annotation: Annotation, number: int, box: np.ndarray, points: np.ndarray) -> Entry:
        # The file's own numbers to the last bit, where it has them.
        own = annotation.own_box is not None
        bbox = annotation.entry["bbox"] if own else [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]
        seen = annotation.entry.get("num_keypoints")
        labelled = int((points[:, 2] > 0).sum())
        return {
            "id": number,
            "image_id": self._numbers[annotation.image],
            "category_id": PERSON,
            "keypoints": points.ravel().tolist(),
            "bbox": [float(value) for value in bbox],
            "area": annotation.area(box),
            "iscrowd": int(annotation.crowd),
            "num_keypoints": labelled
            if seen is None or not labelled
            else checks.integer(seen, "'num_keypoints'", annotation.where),
        }


def load_results(path: Path, truth: Truth, notices: Notices) -> list[Entry]:
    """COCO results with the annotations' joints, from a results list or from a whole COCO file (by names)."""
    results: list[Entry] = []
    unscored = 0
    for entry, named in _predictions(path, truth, notices):
        checks.field(entry.entry, "keypoints", entry.where)
        image_id = truth.number(entry.image)
        if image_id is None:
            raise InputError(f"{entry.where}: is for image {entry.image!r}, which the annotations do not have")
        points = entry.keypoints
        if points is None:
            continue
        own = named or _unnamed(points, truth.joints, entry.where)
        if len(points) != len(own):
            raise InputError(f"{entry.where}: 'keypoints' should be {3 * len(own)} numbers, not {points.size}")
        unscored += entry.score is None
        results.append(
            {
                "image_id": image_id,
                "category_id": PERSON,
                "keypoints": _arranged(points, own, truth.joints, path),
                "score": 1.0 if entry.score is None else entry.score,
            }
        )
    if unscored:
        notices.add("no scores", path, f"{unscored} predictions have no score, which count with 1")
    repeats = len(results) - len({result["score"] for result in results})
    if repeats:
        notices.add("ties", path, f"{repeats} scores repeat another; earlier entries rank first")
    return results


def _predictions(path: Path, truth: Truth, notices: Notices) -> Iterator[tuple[Annotation, tuple[str, ...] | None]]:
    """Predictions of people, and the names of their joints where the file has them."""
    document = Document(path)
    next(document.items(), None)
    if document.plain:
        yield from ((entry, None) for entry in _of_people(path, truth, notices))
        return
    file = read_coco(path)
    for line in file.left_out.lines():
        notices.add("predictions left out", path, line)
    yield from ((entry, file.joints) for entry in file.annotations)


def _of_people(path: Path, truth: Truth, notices: Notices) -> Iterator[Annotation]:
    """Entries of a results list that are of the annotations' category of people."""
    others = 0
    for entry in read_results(path):
        if entry.category in (None, truth.file.people.id):
            yield entry
        else:
            others += 1
    if others:
        text = f"{others} entries are of other categories than {truth.file.people.id} and are left out"
        notices.add("other categories", path, text)


def _unnamed(points: np.ndarray, joints: tuple[str, ...], where: str) -> tuple[str, ...]:
    """The joints of a results list, which has no names: the annotations' own, or COCO's 17."""
    for known in (joints, COCO17.joints):
        if len(points) == len(known):
            return known
    raise InputError(f"{where}: has {points.size} keypoint numbers, {3 * len(joints)} are needed")


def _arranged(points: np.ndarray, own: Sequence[str], joints: Sequence[str], path: Path) -> list[float]:
    """(K, 3) points in the annotations' order; joints that COCO does not score may be missing."""
    at = {joint: i for i, joint in enumerate(own)}
    absent = [joint for joint in joints if joint in COCO17.joints and joint not in at]
    if absent:
        raise InputError(f"{path}: predictions lack the joint {absent[0]}, which the annotations have")
    return [float(v) for joint in joints for v in (points[at[joint]] if joint in at else np.zeros(3))]


def load_detections(path: Path, truth: Truth, notices: Notices) -> list[tuple[Id, np.ndarray, float]]:
    """(image, xyxy, score) of the person boxes of a COCO results list, for the images of ``truth``."""
    boxes, strange = [], 0
    for entry in _of_people(path, truth, notices):
        checks.field(entry.entry, "bbox", entry.where)
        score, box = entry.score, entry.own_box
        if score is None:
            raise InputError(f"{entry.where}: 'score' is missing")
        if truth.number(entry.image) is None:
            strange += 1
        elif box is not None:
            boxes.append((entry.image, box, score))
    if strange and not boxes:
        raise InputError(f"{path}: none of its {strange} boxes belongs to an image of the annotations")
    if strange:
        notices.add("strange boxes", path, f"{strange} boxes are of images that the annotations do not list")
    return boxes
