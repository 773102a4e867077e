"""Prediction files against annotation files, as poseval and the PoseTrack21 kit do it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ftpcli.datasets.posetrack.files import JOINTS
from ftpcli.datasets.posetrack.reading import read_video
from ftpcli.errors import InputError
from ftpcli.evaluation import checks, report
from ftpcli.evaluation.average_precision import JointPool
from ftpcli.evaluation.hota import HotaCounter
from ftpcli.evaluation.matching import distances
from ftpcli.evaluation.mota import MotCounter
from ftpcli.evaluation.native import read_native
from ftpcli.evaluation.notices import Notices
from ftpcli.evaluation.prepare import JOINTS21, prepare_posetrack, prepare_posetrack21


def evaluate_files(annotations: Path, predictions: Path, metric: str, untracked: str | None = None) -> dict[str, Any]:
    """Score prediction files.

    Args:
        annotations, predictions: files, or folders with files of equal names. Forms of 2017 and 2018 are
            recognised file by file. For "coco": two files.
        metric: "posetrack" (poseval: AP, MOTA), "posetrack21" (mAP, pose HOTA) or "coco" (OKS AP).
        untracked: why the track ids mean nothing; tracking figures are then null with this reason.

    Returns:
        The report: percent for PoseTrack, fractions for COCO; NaN where a figure is not a number; its
        "warnings" are one line each. "lowest_score" of the predicted joints tells how far predictions were
        thinned out, which tracking figures hang on.

    Raises:
        InputError: a file is missing, is not what it should be, or does not fit its partner.
    """
    annotations, predictions = Path(annotations), Path(predictions)
    if metric == "coco":
        from ftpcli.evaluation.oks import evaluate_coco

        return evaluate_coco(annotations, predictions)
    notices = Notices()
    pairs = checks.annotation_pairs(annotations, predictions, notices)
    result = _posetrack(pairs, notices, untracked, kit21=metric == "posetrack21")
    return {"metric": metric, **result, "warnings": notices.lines()}


def _posetrack(pairs: list[tuple[Path, Path]], notices: Notices, untracked: str | None, kit21: bool) -> dict[str, Any]:
    """poseval's AP (B3) and CLEAR MOT (B4), or with ``kit21`` the PoseTrack21 kit's mAP and pose HOTA (B5)."""
    joints, prepare = (JOINTS21, prepare_posetrack21) if kit21 else (JOINTS, prepare_posetrack)
    pool, mot, hota = JointPool(len(joints)), MotCounter(len(joints)), HotaCounter(len(joints))
    evaluated, reason = 0, untracked
    for truth_path, predicted_path in pairs:
        truth, ours = read_video(truth_path, kit21), predicted_path.suffix.lower() == ".jsonl"
        predicted = read_native(predicted_path, notices) if ours else read_video(predicted_path, kit21)
        if not kit21:
            truth, predicted = checks.first_video(truth, notices), checks.first_video(predicted, notices)
        checks.check_pair(truth, predicted, notices)
        if kit21:
            checks.check_posetrack21(truth, predicted, notices)
        checks.check_ties(predicted, notices)
        broken = checks.check_tracks(truth, predicted, notices, strict=kit21)
        reason = reason or broken
        frames = prepare(truth, predicted)
        evaluated += len(frames)
        far = [distances(frame) for frame in frames]
        for frame, distance in zip(frames, far, strict=True):
            pool.add(frame, distance)
        if kit21 and any(not len(frame.truth) for frame in frames):
            notices.add(
                "crash",
                truth_path,
                "labelled frames have no people (or none outside the ignore regions): the official PoseTrack21 program "
                "stops here; predictions in them count as false",
            )
        if not kit21 and len(frames) == 1 and not untracked:
            text = "only one evaluated frame, where the official tracking evaluation stops"
            notices.add("one frame", truth_path, text)
            reason = reason or f"{truth_path.name}: {text}"
        elif reason is None and (frames or kit21):
            (hota if kit21 else mot).add_video(frames, far)
    if not evaluated:
        lacks = "is labelled" if kit21 else "has a person"
        raise InputError(f"{pairs[0][0]}: no frame of the annotations {lacks}, nothing can be evaluated")
    result: dict[str, Any] = {"frames_evaluated": evaluated, "lowest_score": pool.lowest_score()}
    ap, name = pool.result(crowd_recall=kit21), "HOTA" if kit21 else "MOT"
    result["AP"] = report.ap21_section(ap, joints) if kit21 else report.ap_section(ap, joints)
    if reason is not None:
        return {**result, name: None, f"{name}_error": reason}
    if kit21:
        return {**result, name: report.hota_section(hota.result(), joints)}
    return {**result, name: report.mot_section(mot.result(), joints)}
