"""Average precision of a detector."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ftpcli.evaluation.on_scenes import evaluate, evaluate_detector
from tests.support.detector_data import coco_file


def test_a_detector_file_is_evaluated(random_detector: Path, tmp_path: Path) -> None:
    report = evaluate_detector(random_detector, coco_file(tmp_path, 4, "gt"))
    assert report["boxes"] == 4 and report["ap50"] <= 0.5 and report["detector"]["image_size"] == 64


def test_evaluation_counts_as_coco_does(tmp_path: Path) -> None:
    path = coco_file(tmp_path, 6, "gt")
    truth = json.loads(path.read_text())
    of = {i["id"]: [a["bbox"] for a in truth["annotations"] if a["image_id"] == i["id"]] for i in truth["images"]}
    order = iter(sorted(of))

    def detect(images: list[np.ndarray]) -> list[np.ndarray]:
        rows = []
        for _ in images:
            index = next(order)
            x, y, w, h = of[index][0]
            found = [[x, y, x + w, y + h, 0.9]]
            if index % 2:
                found.append([60, 0, 80, 20, 0.95])  # on the ignore region: neither right nor wrong
            else:
                found.append([0, 0, 4, 4, 0.3])  # a false alarm below all true ones
            rows.append(np.array(found, np.float32))
        return rows

    report = evaluate(detect, path)
    assert report["ap50"] == pytest.approx(1.0) and report["ap75"] == pytest.approx(1.0)
    assert report["at_score"] == {"score": 0.25, "precision": pytest.approx(6 / 9), "recall": 1.0}
    assert report["boxes"] == 6 and report["empty_false"] is None

    truth["images"][0]["label"] = "teacher"
    path.write_text(json.dumps(truth))
    order = iter(sorted(of)[1:])
    assert evaluate(detect, path)["boxes"] == 5
    assert evaluate(lambda images: [np.zeros((0, 5), np.float32)] * len(images), path)["ap50"] == 0.0
