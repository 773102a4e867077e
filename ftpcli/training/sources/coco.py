"""COCO-keypoints JSON with its pictures."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ftpcli.datasets.cutouts import Cutout, cut_out, outline_of
from ftpcli.errors import InputError
from ftpcli.files.jsonfile import load_json
from ftpcli.skeleton import Skeleton
from ftpcli.training.augment import Example
from ftpcli.training.sources.common import PSEUDO_WEIGHT, ImageCache, Source


class CocoKeypoints(Source):
    """Persons of a COCO-keypoints JSON file; pictures stand beside it under their ``file_name``.

    Unlabelled joints (v = 0) weigh nothing. Two fields that COCO does not have are used where present:
    ``keypoint_source`` (one letter a joint, g for a human's label) and ``keypoint_confidence``; joints that are
    not a human's weigh half their confidence. People with ``segmentation`` polygons lend themselves for pasting.

    Raises:
        InputError: not such a file, a joint unknown to the skeleton, no usable person, malformed polygons,
            pictures missing (with ``skip_missing`` their persons are left out and counted in ``missing``).
    """

    def __init__(self, path: Path, skeleton: Skeleton, *, human_only: bool = False, skip_missing: bool = False) -> None:
        self.name = str(path)
        data = load_json(path)
        try:
            images = {image["id"]: image for image in data["images"]}
            names = data["categories"][0]["keypoints"]
            people = [a for a in data["annotations"] if not a.get("iscrowd") and len(a["keypoints"]) == 3 * len(names)]
            files = {key: path.parent / image["file_name"] for key, image in images.items()}
            self._people = [(files[a["image_id"]], a) for a in people]
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise InputError(f"{path}: not a COCO-keypoints file ({type(error).__name__}: {error})") from error
        unknown = [joint for joint in names if joint not in skeleton.joints]
        if unknown:
            raise InputError(f"{path}: joints {', '.join(unknown)} are not in the model's {skeleton.name} skeleton")
        self._columns = skeleton.indices(names)
        self._joints = len(skeleton.joints)
        if human_only:
            self._people = [(f, a) for f, a in self._people if a.get("label", "gt") == "gt"]
        self.zero_area = sum(not _has_area(a) for _, a in self._people)
        self._people = [(f, a) for f, a in self._people if _has_area(a)]
        absent = sorted({str(f) for f, _ in self._people if not f.is_file()})
        if absent and not skip_missing:
            raise InputError(f"{path}: {len(absent)} pictures are missing, first {absent[0]}; or give --skip-missing")
        gone = set(absent)
        self.missing = len(gone)
        self._people = [(f, a) for f, a in self._people if str(f) not in gone]
        if not self._people:
            raise InputError(f"{path}: no labelled person to train on")
        self.groups = [str(images[a["image_id"]].get("source", "coco")) for _, a in self._people]
        self._cache = ImageCache()
        self._outlines = [outline_of(a, path) for _, a in self._people]
        self.lenders = [partial(self._lend, index) for index, outline in enumerate(self._outlines) if outline]

    def _lend(self, index: int) -> Cutout | None:
        return cut_out(self._cache.read(self._people[index][0]), self._outlines[index])

    def __len__(self) -> int:
        return len(self._people)

    def example(self, index: int, frames: int) -> Example:
        file, annotation = self._people[index]
        joints, weight = np.zeros((self._joints, 2)), np.zeros(self._joints)
        values = np.asarray(annotation["keypoints"], dtype=np.float64).reshape(-1, 3)
        letters = annotation.get("keypoint_source") or "g" * len(values)
        sure = annotation.get("keypoint_confidence") or [1.0] * len(values)
        for value, letter, confidence, column in zip(values, letters, sure, self._columns, strict=True):
            if column is not None and value[2] > 0:
                joints[column] = value[:2]
                weight[column] = 1.0 if letter == "g" else PSEUDO_WEIGHT * confidence
        x, y, w, h = annotation["bbox"]
        return Example(
            [self._cache.read(file)], np.array([x, y, x + w, y + h], float), joints, weight, self._outlines[index]
        )


def _has_area(annotation: dict[str, Any]) -> bool:
    box = annotation.get("bbox")
    return isinstance(box, list) and len(box) == 4 and box[2] > 0 and box[3] > 0
