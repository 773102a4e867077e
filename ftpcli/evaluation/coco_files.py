"""Reading COCO-keypoints files, results lists and detection lists, checked before pycocotools sees them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ftpcli.errors import InputError
from ftpcli.evaluation.notices import Notices
from ftpcli.files.jsonfile import load_json, need, need_list, numbers, whole_number
from ftpcli.skeleton import COCO17

Entry = dict[str, Any]
#: The category of people in everything that is handed on.
PERSON = 1


def joint_names(data: Entry, path: Path) -> tuple[str, ...]:
    """The joints of a COCO-keypoints file, COCO's own 17 where it does not name them."""
    names = _category(data, path).get("keypoints")
    if names is None:
        return COCO17.joints
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: 'keypoints' of the category is not a list of joint names")
    if len(set(names)) < len(names):
        raise InputError(f"{path}: the category names a joint twice")
    return tuple(names)


def _category(data: Entry, path: Path) -> Entry:
    """The category of people: the first with keypoints, else the first."""
    categories = data.get("categories")
    if not isinstance(categories, list) or not categories or not all(isinstance(c, dict) for c in categories):
        raise InputError(f"{path}: lacks 'categories', not a COCO-keypoints file")
    return next((category for category in categories if "keypoints" in category), categories[0])


def _number(value: Any, path: Path, where: str) -> float:
    return float(numbers([value], 1, path, where)[0])


def load_truth(path: Path) -> Entry:
    """A COCO-keypoints file with people only, every field that pycocotools reads checked or filled in.

    ``category_id`` beside the lists is the file's own number for people, which results lists use.

    Annotations are numbered anew from 1: pycocotools takes annotation 0 for "no match".
    """
    data = load_json(path)
    if not isinstance(data, dict):
        raise InputError(f"{path}: not a COCO-keypoints file (the outermost value is not an object)")
    if "annolist" in data:
        raise InputError(f"{path}: is a PoseTrack17 file; --metric coco needs COCO-keypoints JSON")
    joints = joint_names(data, path)
    category = _category(data, path)
    images: dict[int, Entry] = {}
    for image in need_list(data, "images", path, "the file"):
        number = whole_number(need(image, "id", path, "an entry of 'images'"))
        if number is None or number in images:
            raise InputError(f"{path}: image id {image['id']!r} is not a whole number, or is listed twice")
        images[number] = {**image, "id": number}
    annotations: list[Entry] = []
    for k, entry in enumerate(need_list(data, "annotations", path, "the file")):
        where = f"annotation {k}"
        image_id = whole_number(need(entry, "image_id", path, where))
        if image_id not in images:
            raise InputError(f"{path}: {where} belongs to an image that is not listed")
        if entry.get("category_id", category.get("id")) != category.get("id"):
            continue
        points = numbers(need(entry, "keypoints", path, where), 3 * len(joints), path, f"keypoints of {where}")
        box = numbers(need(entry, "bbox", path, where), 4, path, f"bbox of {where}")
        seen = int((points[2::3] > 0).sum())
        fields = {
            "id": len(annotations) + 1,
            "image_id": image_id,
            "category_id": PERSON,
            "keypoints": points.tolist(),
            "bbox": box.tolist(),
            "area": _number(entry.get("area", box[2] * box[3]), path, f"area of {where}"),
            "iscrowd": int(bool(_number(entry.get("iscrowd", 0), path, f"iscrowd of {where}"))),
            "num_keypoints": int(_number(entry.get("num_keypoints", seen), path, f"num_keypoints of {where}")),
        }
        annotations.append({**entry, **fields})
    people = {"id": PERSON, "name": "person", "keypoints": list(joints)}
    file = {"images": list(images.values()), "annotations": annotations, "categories": [people]}
    return {**file, "category_id": category.get("id", PERSON)}


def load_results(path: Path, truth: Entry, notices: Notices) -> list[Entry]:
    """COCO results with the annotations' joints, from a results list or from a whole COCO file (by names)."""
    data = load_json(path)
    joints = joint_names(truth, path)
    named: tuple[str, ...] | None = None
    wanted = truth["category_id"]
    if isinstance(data, dict):
        named, wanted = joint_names(data, path), _category(data, path).get("id")
        entries = need_list(data, "annotations", path, "the file")
    elif isinstance(data, list):
        entries = data
    else:
        raise InputError(f"{path}: neither a COCO results list nor a COCO-keypoints file")
    images = {image["id"] for image in truth["images"]}
    results: list[Entry] = []
    unscored = 0
    for k, entry in enumerate(entries):
        where = f"prediction {k}"
        if not isinstance(entry, dict) or "keypoints" not in entry or "image_id" not in entry:
            raise InputError(f"{path}: {where} lacks 'image_id' or 'keypoints'")
        image_id = whole_number(entry["image_id"])
        if image_id not in images:
            raise InputError(f"{path}: {where} is for image {entry['image_id']!r}, which the annotations do not have")
        if entry.get("category_id", wanted) != wanted:
            continue
        own = named or _unnamed(entry["keypoints"], joints, path, where)
        points = numbers(entry["keypoints"], 3 * len(own), path, f"keypoints of {where}").reshape(-1, 3)
        unscored += "score" not in entry
        results.append(
            {
                "image_id": image_id,
                "category_id": PERSON,
                "keypoints": _arranged(points, own, joints, path),
                "score": _number(entry.get("score", 1.0), path, f"score of {where}"),
            }
        )
    if unscored:
        notices.add("no scores", path, f"{unscored} predictions have no score, which count with 1")
    repeats = len(results) - len({result["score"] for result in results})
    if repeats:
        notices.add("ties", path, f"{repeats} scores repeat another; earlier entries rank first")
    return results


def _unnamed(points: Any, joints: tuple[str, ...], path: Path, where: str) -> tuple[str, ...]:
    """The joints of a results list, which has no names: the annotations' own, or COCO's 17."""
    length = len(points) if isinstance(points, list) else 0
    if length == 3 * len(joints):
        return joints
    if length == 3 * len(COCO17.joints):
        return COCO17.joints
    raise InputError(f"{path}: {where} has {length} keypoint numbers, {3 * len(joints)} are needed")


def _arranged(points: np.ndarray, own: Sequence[str], joints: Sequence[str], path: Path) -> list[float]:
    """(K, 3) points in the annotations' order; joints that COCO does not score may be missing."""
    at = {joint: i for i, joint in enumerate(own)}
    absent = [joint for joint in joints if joint in COCO17.joints and joint not in at]
    if absent:
        raise InputError(f"{path}: predictions lack the joint {absent[0]}, which the annotations have")
    return [float(v) for joint in joints for v in (points[at[joint]] if joint in at else np.zeros(3))]


def load_detections(path: Path, truth: Entry) -> list[Entry]:
    """Person boxes of a COCO results list (``image_id``, ``bbox`` xywh, ``score``) for the images of ``truth``."""
    data = load_json(path)
    if not isinstance(data, list):
        raise InputError(f"{path}: not a detection list (the outermost value is not a list)")
    images = {image["id"] for image in truth["images"]}
    boxes = []
    for k, entry in enumerate(data):
        where = f"detection {k}"
        if not isinstance(entry, dict) or not {"image_id", "bbox", "score"} <= entry.keys():
            raise InputError(f"{path}: {where} lacks 'image_id', 'bbox' or 'score'")
        box = numbers(entry["bbox"], 4, path, f"bbox of {where}").tolist()
        score = _number(entry["score"], path, f"score of {where}")
        image_id = whole_number(entry["image_id"])
        if entry.get("category_id", truth["category_id"]) == truth["category_id"] and image_id in images:
            boxes.append({"image_id": image_id, "category_id": PERSON, "bbox": box, "score": score})
    if data and not boxes:
        raise InputError(f"{path}: none of its {len(data)} boxes belongs to an image of the annotations")
    return boxes
