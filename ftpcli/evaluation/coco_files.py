"""COCO-keypoints files, results and detection lists in the form that pycocotools takes, every number checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ftpcli.datasets.coco import Annotation, CocoFile, Id, is_list, of_people, read_coco, read_results
from ftpcli.datasets.frames import base_name, with_folder
from ftpcli.datasets.left_out import EMPTY, JOINTLESS, LeftOut
from ftpcli.errors import InputError, counted
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
        self.path, self.joints, left_out = self.file.path, self.file.joints, self.file.left_out
        plain = all(isinstance(key, int) for key in self.file.images)
        self._numbers = {key: key if plain else place for place, key in enumerate(self.file.images)}
        self.people: list[Annotation] = []
        entries: list[Entry] = []
        for annotation in self.file.annotations:
            box = annotation.box
            if box is None:
                left_out.add(EMPTY)
                continue
            self.people.append(annotation)
            entries.append(self._entry(annotation, len(self.people), box))
        if not any(entry["num_keypoints"] for entry in entries):
            raise InputError(f"{path}: no person has a labelled joint, nothing can be evaluated{left_out.why()}")
        for line in left_out.lines():
            notices.add("left out", path, line)
        if unlabelled := sum(not entry["num_keypoints"] and not entry["iscrowd"] for entry in entries):
            who = counted(unlabelled, "person has", "people have")
            notices.add("unlabelled", path, f"{who} no labelled joint: neither they nor who is found there count")
        category = {"id": PERSON, "name": "person", "keypoints": list(self.joints)}
        images = [{"id": number} for number in self._numbers.values()]
        self.data: Entry = {"images": images, "annotations": entries, "categories": [category]}

    def number(self, image: Id) -> int | None:
        """The number of an image, None where it is not listed."""
        number = self._numbers.get(image)
        return None if number is None else int(number)

    def _entry(self, annotation: Annotation, number: int, box: np.ndarray) -> Entry:
        points = annotation.keypoints_of(len(self.joints))
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
    """COCO results with the annotations' joints, from a results list or from a whole COCO file (joints by names).

    Left out and counted are predictions without joints, and those of pictures that the annotations do not have (where
    pycocotools stops).

    Raises:
        InputError: unreadable, joints that do not fit, or no prediction is left.
    """
    results: list[Entry] = []
    unscored = 0
    entries, left_out, pictures, joints = _predictions(path, truth, notices)
    for entry in entries:
        points, picture = entry.keypoints, pictures.get(entry.image)
        if points is None or not points.any():
            left_out.add(JOINTLESS)
            continue
        if picture is None:
            left_out.add("of images that the annotations do not have")
            continue
        own = joints or _unnamed(points, truth.joints, entry.where)
        unscored += entry.score is None
        results.append(
            {
                "image_id": truth.number(picture),
                "category_id": PERSON,
                "keypoints": _arranged(entry.keypoints_of(len(own)), own, truth.joints, path),
                "score": 1.0 if entry.score is None else entry.score,
            }
        )
    if left_out.counts and not results:
        then = f"give them keypoints, the category of people, and the image ids or file names of {truth.path.name}"
        raise InputError(f"{path}: no prediction is left{left_out.why()}; {then}")
    for line in left_out.lines():
        notices.add("predictions left out", path, line)
    if unscored:
        notices.add(
            "no scores", path, f"{counted(unscored, 'prediction has', 'predictions have')} no score: each counts as 1"
        )
    repeats = len(results) - len({result["score"] for result in results})
    if repeats:
        notices.add(
            "ties", path, f"{counted(repeats, 'score repeats', 'scores repeat')} another; earlier entries rank first"
        )
    return results


def _predictions(
    path: Path, truth: Truth, notices: Notices
) -> tuple[Iterable[Annotation], LeftOut, Mapping[Id, Id], tuple[str, ...]]:
    """People of a prediction file, those left out, the annotations' image of each of its images, and its joints' names
    (none in a list)."""
    own = truth.file
    if is_list(path):
        left_out = LeftOut("prediction")
        return (
            of_people(read_results(path), own.categories, own.people, left_out),
            left_out,
            {i: i for i in own.images},
            (),
        )
    file = read_coco(path)
    pictures = _pictures(file, own)
    if any(key != picture for key, picture in pictures.items()):
        notices.add("names", path, "its image ids are not the annotations': images are paired by their file names")
    if missing := len(own.images) - len(set(pictures.values())):
        text = f"lacks {counted(missing, 'image')} of the annotations, whose people count as missed"
        notices.add("missing images", path, text)
    return file.annotations, file.left_out, pictures, file.joints


def _pictures(file: CocoFile, truth: CocoFile) -> dict[Id, Id]:
    """The annotations' image of each image of a prediction file: by id; by file name, with all folders, one or none,
    where names that are unique in both files say otherwise."""
    by_id = {key: key for key in file.images if key in truth.images}
    for short in (str, with_folder, base_name):
        mine, theirs = ({short(image.name): key for key, image in one.images.items()} for one in (file, truth))
        if len(mine) == len(file.images) and len(theirs) == len(truth.images):
            by_name = {mine[name]: theirs[name] for name in mine.keys() & theirs.keys() - {""}}
            if any(by_id.get(key) != picture for key, picture in by_name.items()):
                return by_name
    return by_id


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
