"""Predictions against COCO annotations: who is paired with whom, and who is left out."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from ftpcli.errors import InputError
from ftpcli.evaluation.files import evaluate_files
from ftpcli.formats import write_poses
from ftpcli.skeleton import PERSON19
from tests.support.formats_samples import frames, header
from tests.support.others_files import FRAMES, Data, coco, put

pytest.importorskip("pycocotools")
NAMES = [f"walk/frame_{n:06d}.png" for n in range(FRAMES)]


def predictions(data: Data) -> Data:
    """A whole file that predicts these annotations, scores without ties."""
    data = copy.deepcopy(data)
    for n, annotation in enumerate(data["annotations"]):
        annotation |= {"score": 0.9 - n / 100, "track_id": n % 2}
    return data


def run(folder: Path, truth: Any, predicted: Any) -> tuple[float, list[str]]:
    """AP, and the warnings."""
    report = evaluate_files(put(folder / "gt.json", truth), put(folder / "pred.json", predicted), "coco")
    return report["stats"]["AP"], [line for line in report["warnings"] if "repeat another" not in line]


@pytest.mark.parametrize("form", ["list", "file"])
@pytest.mark.parametrize("joints", [..., None, [], [0] * 51])
def test_predictions_without_joints_are_left_out_and_counted(tmp_path: Path, form: str, joints: Any) -> None:
    truth = coco(NAMES)
    found = predictions(truth)
    for annotation in found["annotations"][1::2]:
        truth["annotations"].remove({k: v for k, v in annotation.items() if k not in ("score", "track_id")})
        annotation["keypoints"] = joints
        if joints is ...:
            del annotation["keypoints"]
    ap, said = run(tmp_path, truth, found["annotations"] if form == "list" else found)
    what = "predictions" if form == "list" else "annotations"
    assert ap == pytest.approx(1), "they are no wrong poses"
    assert said == [f"{tmp_path}/pred.json: 5 {what} are left out: 5 without joints"]


def test_annotations_without_joints_are_said(tmp_path: Path) -> None:
    truth = coco(NAMES)
    found = predictions(truth)["annotations"]
    truth["annotations"][0] |= {"keypoints": [0] * 51, "num_keypoints": 0}
    ap, said = run(tmp_path, truth, found)
    assert ap == pytest.approx(1)
    assert said == [
        f"{tmp_path}/gt.json: 1 person has no labelled joint: neither they nor who is found there count",
    ]


@pytest.mark.parametrize("side", ["gt", "pred"])
def test_ids_are_the_same_as_text_and_as_number(tmp_path: Path, side: str) -> None:
    data = {"gt": coco(NAMES), "pred": predictions(coco(NAMES))["annotations"]}
    annotations = data["pred"] if side == "pred" else data["gt"]["annotations"]
    for annotation in annotations:
        annotation |= {"category_id": "1", "image_id": str(annotation["image_id"])}
    assert run(tmp_path, data["gt"], data["pred"]) == (pytest.approx(1), [])
    for annotation in annotations:
        annotation |= {"category_id": 1.0, "image_id": float(annotation["image_id"])}
    assert run(tmp_path, data["gt"], data["pred"]) == (pytest.approx(1), [])


def test_predictions_of_another_category_are_no_result(tmp_path: Path) -> None:
    found = predictions(coco(NAMES))["annotations"]
    for annotation in found:
        annotation["category_id"] = 3
    with pytest.raises(
        InputError, match=r"no prediction is left \(10 predictions are left out: 10 of category 3\); give"
    ):
        run(tmp_path, coco(NAMES), found)


def _as_text(ids: list[int]) -> dict[int, Any]:
    return {number: f"img{number}" for number in ids}


def _from_one(ids: list[int]) -> dict[int, Any]:
    return {number: 1 + n for n, number in enumerate(ids)}


def _reversed(ids: list[int]) -> dict[int, Any]:
    return dict(zip(ids, reversed(ids), strict=True))


@pytest.mark.parametrize("renumber", [_as_text, _from_one, _reversed])
@pytest.mark.parametrize("prefix", ["walk/", "/elsewhere/", ""])
def test_images_of_other_numbers_are_paired_by_name(tmp_path: Path, renumber: Any, prefix: str) -> None:
    found = predictions(coco(NAMES))
    number = renumber([image["id"] for image in found["images"]])
    for image in found["images"]:
        image |= {"id": number[image["id"]], "file_name": prefix + Path(image["file_name"]).name}
    for annotation in found["annotations"]:
        annotation["image_id"] = number[annotation["image_id"]]
    ap, said = run(tmp_path, coco(NAMES), found)
    assert ap == pytest.approx(1) and len(said) == 1 and "paired by their file names" in said[0]
    for image in found["images"]:
        image["file_name"] = ""
    if renumber is not _reversed:
        with pytest.raises(InputError, match=r"no prediction is left .*give them .* file names of gt\.json"):
            run(tmp_path, coco(NAMES), found)


@pytest.mark.parametrize("form", ["list", "file"])
def test_of_more_pictures_than_annotated_those_in_common_count(tmp_path: Path, form: str) -> None:
    found = predictions(coco(NAMES))
    ap, said = run(tmp_path, coco(NAMES[:2]), found["annotations"] if form == "list" else found)
    assert ap == pytest.approx(1)
    assert len(said) == 1 and "are left out: 6 of images that the annotations do not have" in said[0]


def test_pictures_that_a_prediction_file_lacks_are_said(tmp_path: Path) -> None:
    ap, said = run(tmp_path, coco(NAMES), predictions(coco(NAMES[:2])))
    assert ap < 0.6 and len(said) == 1 and "lacks 3 images of the annotations, whose people count as missed" in said[0]


def test_our_own_file_is_its_own_truth(tmp_path: Path) -> None:
    """Names of a video's frames are ours alone; a person without joints is left out."""
    path = tmp_path / "poses.json"
    write_poses(path, header(), frames(), joints="all")
    report = evaluate_files(path, path, "coco")
    assert set(report["joints"]) <= set(PERSON19.joints) and report["stats"]["AP"] > 0.9
