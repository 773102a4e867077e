"""How good a detector is: COCO average precision on the truly labelled pictures of a COCO file."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ftpcli.datasets.coco import CocoFile, read_coco
from ftpcli.datasets.left_out import EMPTY
from ftpcli.datasets.pictures import all_pictures
from ftpcli.errors import InputError
from ftpcli.evaluation.oks import pycocotools
from ftpcli.files.pictures import read_picture

#: Weakest detection that counts when average precision is measured.
SCORE_FLOOR = 0.01

Detect = Callable[[list[np.ndarray]], list[np.ndarray]]


def labelled_part(file: CocoFile, label: str | None = "gt") -> dict[str, Any]:
    """What pycocotools takes of the images whose ``label`` says that people labelled them (also where there is none).

    Images are numbered by their place; people without any box are left out and counted.
    """
    kept = [key for key, image in file.images.items() if label is None or image.entry.get("label", label) == label]
    number = {key: place for place, key in enumerate(kept)}
    annotations: list[dict[str, Any]] = []
    for annotation in file.annotations:
        box = annotation.box
        if box is None:
            file.left_out.add(EMPTY)
        elif annotation.image in number:
            x1, y1, x2, y2 = box.tolist()
            entry = {"id": len(annotations) + 1, "image_id": number[annotation.image], "category_id": 1}
            more = {"area": annotation.area(box), "iscrowd": int(annotation.crowd)}
            annotations.append({**entry, "bbox": [x1, y1, x2 - x1, y2 - y1], **more})
    if file.left_out.counts and not annotations:
        raise InputError(f"{file.path}: no person is left{file.left_out.why()}")
    # Pictures of nobody have a figure of their own, the share with false alarms.
    images = [{"id": number[key], "key": key, "source": file.images[key].source} for key in kept]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}


def evaluate(
    detect: Detect, val: Path | str, *, label: str | None = "gt", batch: int = 16, folder: Path | None = None
) -> dict[str, Any]:
    """Average precision and recall of person boxes.

    Args:
        detect: list of (H, W, 3) uint8 RGB pictures -> list of (N, 5) xyxy and score.
        val: COCO detection file; ``iscrowd`` 1 marks regions that do not count.
        folder: holds the pictures, where they are not found by the file.
        label: only pictures whose ``label`` field has this value; None: all.

    Returns:
        ``pictures``, ``boxes``, ``ap50``, ``ap75``, ``ap``, ``recall50`` (fractions, pycocotools, at most 100
        detections a picture), ``at_score``: precision and recall at IoU 0.5 from score 0.25 on, ``empty_false``:
        share of the pictures without people in which anything scores 0.25 or more, and ``sources``: the same
        AP50, AP75 and recall for every value of the pictures' ``source`` field, and ``warnings``.

    Raises:
        InputError: the file or a picture cannot be read.
        UsageError: pycocotools is not installed (extra ``eval``).
    """
    file = read_coco(val)
    truth = labelled_part(file, label)
    names = {image["id"]: file.images[image["key"]].name for image in truth["images"]}
    paths = all_pictures(file.path, names, folder)
    found: list[dict[str, Any]] = []
    for start in range(0, len(truth["images"]), batch):
        part = truth["images"][start : start + batch]
        pictures = [read_picture(paths[i["id"]], file.images[i["key"]].size) for i in part]
        for record, rows in zip(part, detect(pictures), strict=True):
            found += [
                {
                    "image_id": record["id"],
                    "category_id": 1,
                    "bbox": [float(r[0]), float(r[1]), float(r[2] - r[0]), float(r[3] - r[1])],
                    "score": float(r[4]),
                }
                for r in rows
            ]
    lines = file.left_out.lines() if truth["annotations"] else ["there is nobody in it: no average precision"]
    report = _score(truth, found) | {"warnings": [f"{val}: {line}" for line in lines]}
    sources = sorted({i["source"] for i in truth["images"]})
    if len(sources) > 1:
        report["sources"] = {source: _score(_only(truth, source), found) for source in sources}
    return report


def _only(truth: dict[str, Any], source: str) -> dict[str, Any]:
    images = [i for i in truth["images"] if i["source"] == source]
    kept = {i["id"] for i in images}
    return {**truth, "images": images, "annotations": [a for a in truth["annotations"] if a["image_id"] in kept]}


def _score(truth: dict[str, Any], found: list[dict[str, Any]]) -> dict[str, Any]:
    COCO, COCOeval = pycocotools()
    kept = {i["id"] for i in truth["images"]}
    found = [d for d in found if d["image_id"] in kept]
    people = [a for a in truth["annotations"] if not a["iscrowd"]]
    report: dict[str, Any] = {"pictures": len(kept), "boxes": len(people)}
    empty = kept - {a["image_id"] for a in truth["annotations"]}
    loud = {d["image_id"] for d in found if d["score"] >= 0.25}
    report["empty_false"] = len(empty & loud) / len(empty) if empty else None
    if not people:
        return report
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        if not found:
            return report | {"ap50": 0.0, "ap75": 0.0, "ap": 0.0, "recall50": 0.0}
        run = COCOeval(coco, coco.loadRes(found), "bbox")
        run.evaluate()
        run.accumulate()
    precision, recall = run.eval["precision"], run.eval["recall"]  # (T, R, K, A, M), (T, K, A, M)
    report["ap50"] = float(precision[0, :, 0, 0, -1].mean())
    report["ap75"] = float(precision[5, :, 0, 0, -1].mean())
    report["ap"] = float(precision[:, :, 0, 0, -1].mean())
    report["recall50"] = float(recall[0, 0, 0, -1])
    report["at_score"] = _at_score(run, 0.25, len(people))
    return report


def _at_score(run: Any, score: float, people: int) -> dict[str, float]:
    """Precision and recall at IoU 0.5 of the detections that score at least ``score``."""
    right = wrong = 0
    for image in run.evalImgs[: len(run.params.imgIds)]:  # area range "all" comes first
        if image is None:
            continue
        counted = (np.asarray(image["dtScores"]) >= score) & ~image["dtIgnore"][0].astype(bool)
        matched = image["dtMatches"][0] > 0
        right += int((counted & matched).sum())
        wrong += int((counted & ~matched).sum())
    return {"score": score, "precision": right / max(right + wrong, 1), "recall": right / people}


def evaluate_detector(
    weights: Path | str | None,
    val: Path | str,
    *,
    device: str = "cpu",
    folder: Path | None = None,
) -> dict[str, Any]:
    """`evaluate` for a detector given as in `ftpcli.people.loading.load_detector`.

    Adds ``detector``, its description, and ``score_floor``, the weakest score that counts. The floor lies below the
    one of ordinary use, since average precision looks at the whole curve.
    """
    from ftpcli.people.loading import load_detector

    detector = load_detector(weights, device=device, floor=SCORE_FLOOR)
    report = evaluate(detector.detect_batch, val, folder=folder)
    return {"detector": detector.describe(), "score_floor": SCORE_FLOOR} | report
