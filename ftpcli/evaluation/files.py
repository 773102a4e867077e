"""Prediction files against annotation files, as poseval and the PoseTrack21 kit do it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ftpcli.datasets.posetrack.files import JOINTS, VideoFile
from ftpcli.datasets.posetrack.reading import read_video
from ftpcli.errors import InputError
from ftpcli.evaluation import checks, report
from ftpcli.evaluation.average_precision import JointPool
from ftpcli.evaluation.hota import HotaCounter
from ftpcli.evaluation.matching import distances
from ftpcli.evaluation.mota import MotCounter
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
    evaluate = {"posetrack": _posetrack, "posetrack21": _posetrack21}[metric]
    notices = Notices()
    result = evaluate(checks.annotation_pairs(annotations, predictions, notices), notices, untracked)
    return {"metric": metric, **result, "warnings": notices.lines()}


def _read_predictions(path: Path, slots: bool, notices: Notices) -> VideoFile:
    if path.suffix.lower() == ".jsonl":
        from ftpcli.evaluation.native import read_native

        return read_native(path, notices)
    return read_video(path, slots)


def _posetrack(pairs: list[tuple[Path, Path]], notices: Notices, untracked: str | None) -> dict[str, Any]:
    """poseval: AP (B3) and CLEAR MOT (B4)."""
    pool, tracking = JointPool(len(JOINTS)), MotCounter(len(JOINTS))
    evaluated, reason = 0, untracked
    for truth_path, predicted_path in pairs:
        truth = checks.first_video(read_video(truth_path), notices)
        predicted = checks.first_video(_read_predictions(predicted_path, False, notices), notices)
        checks.check_pair(truth, predicted, notices)
        checks.check_ties(predicted, notices)
        broken = checks.check_tracks(truth, predicted, notices, strict=False)
        reason = reason or broken
        frames = prepare_posetrack(truth, predicted)
        evaluated += len(frames)
        far = [distances(frame) for frame in frames]
        for frame, distance in zip(frames, far, strict=True):
            pool.add(frame, distance)
        if len(frames) == 1 and not untracked:
            text = "only one evaluated frame, where the official tracking evaluation stops"
            notices.add("one frame", truth_path, text)
            reason = reason or f"{truth_path.name}: {text}"
        elif frames and reason is None:
            tracking.add_video(frames, far)
    if not evaluated:
        raise InputError(f"{pairs[0][0]}: no frame of the annotations has a person, nothing can be evaluated")
    result: dict[str, Any] = {"frames_evaluated": evaluated, "AP": report.ap_section(pool.result(), JOINTS)}
    result["lowest_score"] = pool.lowest_score()
    if reason is None:
        return {**result, "MOT": report.mot_section(tracking.result(), JOINTS)}
    return {**result, "MOT": None, "MOT_error": reason}


def _posetrack21(pairs: list[tuple[Path, Path]], notices: Notices, untracked: str | None) -> dict[str, Any]:
    """The PoseTrack21 kit: mAP and pose HOTA (B5)."""
    pool, tracking = JointPool(len(JOINTS21)), HotaCounter(len(JOINTS21))
    evaluated, reason = 0, untracked
    for truth_path, predicted_path in pairs:
        truth, predicted = read_video(truth_path, slots=True), _read_predictions(predicted_path, True, notices)
        checks.check_pair(truth, predicted, notices)
        checks.check_posetrack21(truth, predicted, notices)
        checks.check_ties(predicted, notices)
        broken = checks.check_tracks(truth, predicted, notices, strict=True)
        reason = reason or broken
        frames = prepare_posetrack21(truth, predicted)
        evaluated += len(frames)
        if any(not len(frame.truth) for frame in frames):
            notices.add(
                "crash",
                truth_path,
                "labelled frames have no people (or none outside the ignore regions): the official PoseTrack21 program "
                "stops here; predictions in them count as false",
            )
        far = [distances(frame) for frame in frames]
        for frame, distance in zip(frames, far, strict=True):
            pool.add(frame, distance)
        if reason is None:
            tracking.add_video(frames, far)
    if not evaluated:
        raise InputError(f"{pairs[0][0]}: no frame of the annotations is labelled, nothing can be evaluated")
    ap = report.ap21_section(pool.result(crowd_recall=True), JOINTS21)
    result: dict[str, Any] = {"frames_evaluated": evaluated, "AP": ap, "lowest_score": pool.lowest_score()}
    if reason is None:
        return {**result, "HOTA": report.hota_section(tracking.result(), JOINTS21)}
    return {**result, "HOTA": None, "HOTA_error": reason}
