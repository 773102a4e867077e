"""OKS AP through pycocotools: small cases, joints by name, wrong files."""

from __future__ import annotations

import builtins
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ftpcli.errors import FtpError, InputError, UsageError
from ftpcli.evaluation.files import evaluate_files
from ftpcli.evaluation.oks import STATS
from ftpcli.skeleton import COCO17, PERSON19, POSETRACK17

Data = dict[str, Any]


def truth(joints: tuple[str, ...] = COCO17.joints, people: int = 3, side: float = 120.0) -> Data:
    rng = np.random.default_rng(5)
    data: Data = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 1, "name": "person", "keypoints": list(joints)}],
    }
    for k in range(people):
        points = rng.uniform(0, side, (len(joints), 2)).round(1) + 10
        data["images"].append({"id": k + 1, "file_name": f"{k}.jpg", "width": 300, "height": 300})
        data["annotations"].append(
            {
                "id": k + 1,
                "image_id": k + 1,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [10.0, 10.0, side, side],
                "area": side * side,
                "num_keypoints": len(joints),
                "keypoints": np.column_stack([points, np.full(len(joints), 2.0)]).ravel().tolist(),
            }
        )
    return data


def results(data: Data, shift: float = 0.0) -> list[Data]:
    found = []
    for k, entry in enumerate(data["annotations"]):
        points = np.array(entry["keypoints"]).reshape(-1, 3) + np.array([shift, 0, 0])
        found.append({**entry, "keypoints": points.ravel().tolist(), "score": 0.9 - k / 10})
    return found


def run(folder: Path, annotations: Any, predictions: Any) -> Data:
    for name, data in (("gt", annotations), ("pred", predictions)):
        (folder / f"{name}.json").write_text(json.dumps(data))
    return evaluate_files(folder / "gt.json", folder / "pred.json", "coco")


def test_perfect_and_shifted_results(tmp_path: Path) -> None:
    data = truth()
    report = run(tmp_path, data, results(data))
    assert tuple(report["stats"]) == STATS and report["stats"]["AP"] == pytest.approx(1)
    assert report["stats"]["APM"] == -1  # nobody of medium size is annotated, as pycocotools says it
    assert report["joints"] == list(COCO17.joints) and "sigmas" not in report and report["warnings"] == []
    # OKS of the shift by the formula of B6: over 0.5 and under 0.75, so AP is that of the thresholds below it.
    shift = 14.0
    oks = np.exp(-(shift**2) / (2 * 120 * 120 * (2 * COCO17.sigmas) ** 2)).mean()
    expected = sum(oks >= threshold for threshold in np.arange(0.5, 0.96, 0.05)) / 10
    assert 0 < expected < 1
    assert run(tmp_path, data, results(data, shift))["stats"]["AP"] == pytest.approx(expected)


def test_a_whole_file_is_matched_by_joint_names(tmp_path: Path) -> None:
    data = truth(PERSON19.joints)
    order = [PERSON19.joints.index(joint) for joint in reversed(COCO17.joints)]
    whole = {"images": data["images"], "categories": [{"id": 1, "keypoints": list(reversed(COCO17.joints))}]}
    whole["annotations"] = [
        {**entry, "keypoints": np.array(entry["keypoints"]).reshape(-1, 3)[order].ravel().tolist()}
        for entry in results(data)
    ]
    report = run(tmp_path, data, whole)
    assert report["stats"]["AP"] == pytest.approx(1) and report["joints"] == list(COCO17.joints)


def test_other_joints_have_other_sigmas_and_the_report_names_them(tmp_path: Path) -> None:
    data = truth(POSETRACK17.joints)
    report = run(tmp_path, data, results(data))
    assert report["sigmas"]["head_bottom"] == pytest.approx(0.079) and len(report["sigmas"]) == 17
    assert any("not COCO's 17" in line and "gt.json" in line for line in report["warnings"])


def test_other_categories_do_not_count(tmp_path: Path) -> None:
    """People may have any number; annotations and predictions of other things are left alone."""
    data = truth()
    data["categories"] = [{"id": 1, "name": "dog"}, {**data["categories"][0], "id": 7}]
    for entry in data["annotations"]:
        entry["category_id"] = 7
    data["annotations"].append({**data["annotations"][0], "id": 9, "category_id": 1, "bbox": [0, 0, 5, 5]})
    del data["annotations"][-1]["keypoints"]
    found = results({"annotations": data["annotations"][:3]})
    found.append({**found[0], "category_id": 1, "score": 0.99, "keypoints": [5.0] * 51})
    report = run(tmp_path, data, found)
    assert report["stats"]["AP"] == pytest.approx(1)


def test_no_predictions_at_all(tmp_path: Path) -> None:
    report = run(tmp_path, truth(), [])
    assert report["stats"]["AP"] == 0 and any("not a single prediction" in line for line in report["warnings"])


def test_equal_and_missing_scores_are_told(tmp_path: Path) -> None:
    data = truth()
    found = results(data)
    for entry in found:
        del entry["score"]
    lines = run(tmp_path, data, found)["warnings"]
    assert any("have no score" in line for line in lines) and any("repeat another" in line for line in lines)


@pytest.mark.parametrize(
    ("side", "spoil", "text"),
    [
        ("gt", lambda d: d.pop("images"), "lacks 'images'"),
        ("gt", lambda d: d.update(images=[]), "nothing can be evaluated (3 annotations are left out: 3 of images that"),
        ("gt", lambda d: [a.pop("keypoints") for a in d["annotations"]], "no person has a labelled joint"),
        ("gt", lambda d: d["annotations"][0].update(keypoints=[1.0] * 9), "should be 51 numbers"),
        ("gt", lambda d: d.update(annolist=[]), "PoseTrack17 file"),
        (
            "pred",
            lambda d: [a.update(image_id=99) for a in d],
            "3 of images that the annotations do not have); give them",
        ),
        ("pred", lambda d: d[0].update(keypoints=[1.0] * 45), "has 45 keypoint numbers"),
        ("pred", lambda d: d[0].pop("image_id"), "'image_id' is missing"),
        ("pred", lambda d: d[0].update(score="high"), "'score' should be a number, not 'high'"),
    ],
)
def test_wrong_files_are_one_clear_line(tmp_path: Path, side: str, spoil: Any, text: str) -> None:
    data = {"gt": truth(), "pred": results(truth())}
    spoil(data[side])
    with pytest.raises(FtpError, match=re.escape(text)) as caught:
        run(tmp_path, data["gt"], data["pred"])
    assert f"{side}.json" in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_pycocotools_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("pycocotools"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    data = truth()
    with pytest.raises(UsageError, match=r"ftp-pose\[eval\]"):
        run(tmp_path, data, results(data))


def test_not_json(tmp_path: Path) -> None:
    (tmp_path / "gt.json").write_text("no")
    with pytest.raises(InputError, match=r"gt\.json: not a whole JSON document"):
        evaluate_files(tmp_path / "gt.json", tmp_path / "gt.json", "coco")
