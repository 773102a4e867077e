"""OKS average precision by pycocotools (B6), an extra."""

from __future__ import annotations

import contextlib
import copy
import io
from pathlib import Path
from typing import Any

import numpy as np

from ftpcli.errors import InputError, UsageError
from ftpcli.evaluation.coco_files import Truth, load_results
from ftpcli.evaluation.notices import Notices
from ftpcli.skeleton import COCO17, Skeleton

STATS = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")


def pycocotools() -> tuple[Any, Any]:
    """Its classes ``COCO`` and ``COCOeval``. Raises UsageError where it is not installed."""
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise UsageError("average precision needs pycocotools: pip install 'ftp-pose[eval]'") from None
    return COCO, COCOeval


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
    truth = Truth(annotations, notices)
    detections = load_results(predictions, truth, notices)
    return {"metric": "coco", **coco_stats(truth, detections, notices), "warnings": notices.lines()}


def coco_stats(truth: Truth, detections: list[dict[str, Any]], notices: Notices) -> dict[str, Any]:
    """ "stats", "joints" and "sigmas" for a COCO data set and a list of COCO results with the set's joints."""
    COCO, COCOeval = pycocotools()
    data, detections, joints = _coco_subset(truth.data, detections, truth.joints)
    sigmas = _sigmas(joints, truth.path, notices)
    if not detections:
        notices.add("empty", truth.path, "there is not a single prediction for these annotations")
    with contextlib.redirect_stdout(io.StringIO()):
        wanted, found = COCO(), COCO()
        wanted.dataset = data
        wanted.createIndex()
        if detections:
            found = wanted.loadRes(copy.deepcopy(detections))
        else:
            found.dataset = {**data, "annotations": []}
            found.createIndex()
        evaluation = COCOeval(wanted, found, "keypoints")
        evaluation.params.kpt_oks_sigmas = sigmas
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    result: dict[str, Any] = {
        "stats": dict(zip(STATS, map(float, evaluation.stats), strict=True)),
        "images": len(data["images"]),
        "joints": list(joints),
    }
    if joints != COCO17.joints:
        result["sigmas"] = dict(zip(joints, sigmas.tolist(), strict=True))
    return result


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
