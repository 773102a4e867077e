"""OKS average precision by pycocotools (B6), an extra."""

from __future__ import annotations

import contextlib
import copy
import io
from pathlib import Path
from typing import Any

import numpy as np

from ftpcli.errors import InputError, UsageError
from ftpcli.evaluation.notices import Notices
from ftpcli.posetrack.jsonfile import load_json, need_list, numbers, whole_number
from ftpcli.skeleton import COCO17, Skeleton

STATS = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")
MISSING = "OKS AP needs pycocotools: install the extra with pip install 'ftpcli[eval]'"


def evaluate_coco(annotations: Path, predictions: Path) -> dict[str, Any]:
    """OKS AP of one COCO-keypoints file against another.

    Args:
        annotations: COCO-keypoints JSON.
        predictions: a COCO results list, or a whole file such as ``ftp annotate`` writes (matched by joint names).

    Returns:
        Report with "stats" (fractions, -1 where nothing of that size is annotated, as pycocotools gives), "joints"
        and, for joints other than COCO's 17, "sigmas".
    """
    notices = Notices()
    truth = load_truth(annotations)
    detections = _detections(predictions, truth, notices)
    return {"metric": "coco", **coco_stats(truth, detections, annotations, notices), "warnings": notices.lines()}


def coco_stats(truth: dict[str, Any], detections: list[dict[str, Any]], path: Path, notices: Notices) -> dict[str, Any]:
    """ "stats", "joints" and "sigmas" for a COCO data set and a list of COCO results with the set's joints."""
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise UsageError(MISSING) from None
    joints = joint_names(truth, path)
    truth, detections, joints = _coco_subset(truth, detections, joints)
    sigmas = _sigmas(joints, path, notices)
    if not detections:
        notices.add("empty", path, "there is not a single prediction for these annotations")
    with contextlib.redirect_stdout(io.StringIO()):
        wanted, found = COCO(), COCO()
        wanted.dataset = truth
        wanted.createIndex()
        if detections:
            found = wanted.loadRes(copy.deepcopy(detections))
        else:
            found.dataset = {**truth, "annotations": []}
            found.createIndex()
        evaluation = COCOeval(wanted, found, "keypoints")
        evaluation.params.kpt_oks_sigmas = sigmas
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    result: dict[str, Any] = {
        "stats": dict(zip(STATS, map(float, evaluation.stats), strict=True)),
        "images": len(truth["images"]),
        "joints": list(joints),
    }
    if joints != COCO17.joints:
        result["sigmas"] = dict(zip(joints, sigmas.tolist(), strict=True))
    return result


def joint_names(truth: dict[str, Any], path: Path) -> tuple[str, ...]:
    """The joints of a COCO-keypoints file, COCO's own 17 where it does not name them."""
    categories = truth.get("categories")
    if not isinstance(categories, list) or not categories or not isinstance(categories[0], dict):
        raise InputError(f"{path}: lacks 'categories', not a COCO-keypoints file")
    names = categories[0].get("keypoints")
    if names is None:
        return COCO17.joints
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: 'keypoints' of categories[0] is not a list of joint names")
    return tuple(names)


def coco_detections(path: Path, truth: dict[str, Any]) -> list[dict[str, Any]]:
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
        score = float(numbers([entry["score"]], 1, path, f"score of {where}")[0])
        if entry.get("category_id", 1) == 1 and entry["image_id"] in images:
            boxes.append({"image_id": entry["image_id"], "category_id": 1, "bbox": box, "score": score})
    if data and not boxes:
        raise InputError(f"{path}: none of its {len(data)} boxes belongs to an image of the annotations")
    return boxes


def load_truth(path: Path) -> dict[str, Any]:
    """A checked COCO-keypoints file; ``area``, ``iscrowd``, ``num_keypoints`` and ids are filled in where missing."""
    data = load_json(path)
    if not isinstance(data, dict):
        raise InputError(f"{path}: not a COCO-keypoints file (the outermost value is not an object)")
    if "annolist" in data:
        raise InputError(f"{path}: is a PoseTrack17 file; --metric coco needs COCO-keypoints JSON")
    images = {}
    for image in need_list(data, "images", path, "the file"):
        number = whole_number(image.get("id")) if isinstance(image, dict) else None
        if number is None:
            raise InputError(f"{path}: an entry of 'images' lacks a whole-number 'id'")
        images[number] = image
    count = len(joint_names(data, path))
    for k, annotation in enumerate(need_list(data, "annotations", path, "the file")):
        where = f"annotation {k}"
        for key in ("image_id", "bbox", "keypoints"):
            if not isinstance(annotation, dict) or key not in annotation:
                raise InputError(f"{path}: {where} lacks '{key}'")
        if whole_number(annotation["image_id"]) not in images:
            raise InputError(f"{path}: {where} belongs to an image that is not listed")
        points = numbers(annotation["keypoints"], 3 * count, path, f"keypoints of {where}")
        _, _, w, h = numbers(annotation["bbox"], 4, path, f"bbox of {where}")
        annotation.setdefault("id", k + 1)
        annotation.setdefault("category_id", data["categories"][0].get("id", 1))
        annotation.setdefault("iscrowd", 0)
        annotation.setdefault("area", float(w * h))
        annotation.setdefault("num_keypoints", int((points[2::3] > 0).sum()))
    return data


def _detections(path: Path, truth: dict[str, Any], notices: Notices) -> list[dict[str, Any]]:
    """COCO results with the annotations' joints, from a results list or from a whole COCO file."""
    data = load_json(path)
    joints = joint_names(truth, path)
    named = None
    if isinstance(data, dict):
        named = joint_names(data, path)
        entries = need_list(data, "annotations", path, "the file")
    elif isinstance(data, list):
        entries = data
    else:
        raise InputError(f"{path}: neither a COCO results list nor a COCO-keypoints file")
    images = {image["id"] for image in truth["images"]}
    category = truth["categories"][0].get("id", 1)
    results, unscored = [], 0
    for k, entry in enumerate(entries):
        where = f"prediction {k}"
        if not isinstance(entry, dict) or "keypoints" not in entry or "image_id" not in entry:
            raise InputError(f"{path}: {where} lacks 'image_id' or 'keypoints'")
        if entry["image_id"] not in images:
            raise InputError(f"{path}: {where} is for image {entry['image_id']!r}, which the annotations do not have")
        own = named or _unnamed(
            len(entry["keypoints"]) if isinstance(entry["keypoints"], list) else 0, joints, path, where
        )
        points = numbers(entry["keypoints"], 3 * len(own), path, f"keypoints of {where}").reshape(-1, 3)
        at = {joint: i for i, joint in enumerate(own)}
        absent = [joint for joint in joints if joint in COCO17.joints and joint not in at]
        if absent:
            raise InputError(f"{path}: predictions lack the joint {absent[0]}, which the annotations have")
        ordered = np.array([points[at[joint]] if joint in at else np.zeros(3) for joint in joints])
        unscored += "score" not in entry
        score = float(numbers([entry.get("score", 1.0)], 1, path, f"score of {where}")[0])
        results.append(
            {
                "image_id": entry["image_id"],
                "category_id": entry.get("category_id", category),
                "keypoints": ordered.ravel().tolist(),
                "score": score,
            }
        )
    if unscored:
        notices.add("no scores", path, f"{unscored} predictions have no score, which count with 1")
    scores = [result["score"] for result in results]
    if len(set(scores)) < len(scores):
        notices.add("ties", path, f"{len(scores) - len(set(scores))} scores repeat another; earlier entries rank first")
    return results


def _unnamed(length: int, joints: tuple[str, ...], path: Path, where: str) -> tuple[str, ...]:
    """The joints of a results list, which has no names: the annotations' own, or COCO's 17."""
    if length == 3 * len(joints):
        return joints
    if length == 3 * len(COCO17.joints):
        return COCO17.joints
    raise InputError(f"{path}: {where} has {length} keypoint numbers, {3 * len(joints)} are needed")


def _coco_subset(
    truth: dict[str, Any], detections: list[dict[str, Any]], joints: tuple[str, ...]
) -> tuple[dict[str, Any], list[dict[str, Any]], tuple[str, ...]]:
    """COCO's 17 joints out of a file that has more, since only they have official sigmas."""
    if joints == COCO17.joints or not set(COCO17.joints) <= set(joints):
        return truth, detections, joints
    columns = [joints.index(joint) for joint in COCO17.joints]

    def cut(entry: dict[str, Any]) -> dict[str, Any]:
        points = np.array(entry["keypoints"], dtype=np.float64).reshape(-1, 3)[columns]
        return {**entry, "keypoints": points.ravel().tolist(), "num_keypoints": int((points[:, 2] > 0).sum())}

    truth = {**truth, "annotations": [cut(entry) for entry in truth["annotations"]]}
    return truth, [cut(entry) for entry in detections], COCO17.joints


def _sigmas(joints: tuple[str, ...], path: Path, notices: Notices) -> np.ndarray:
    from pycocotools.cocoeval import Params

    if joints == COCO17.joints:
        return Params("keypoints").kpt_oks_sigmas
    try:
        sigmas = Skeleton("file", joints).sigmas
    except KeyError as error:
        raise InputError(f"{path}: no OKS sigma is known for the joint {error}") from None
    notices.add("sigmas", path, "its joints are not COCO's 17: the OKS uses other sigmas, named in the report")
    return sigmas
