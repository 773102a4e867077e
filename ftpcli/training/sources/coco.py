"""COCO-keypoints JSON with its pictures."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from ftpcli.datasets.coco import Annotation, Id, read_coco
from ftpcli.datasets.cutouts import Cutout, cut_out
from ftpcli.datasets.left_out import CROWD, EMPTY, UNLABELLED
from ftpcli.datasets.pictures import find_pictures, missing_pictures
from ftpcli.errors import InputError
from ftpcli.skeleton import Skeleton
from ftpcli.training.augment import Example
from ftpcli.training.sources.common import PSEUDO_WEIGHT, Labels, PictureCache, Source, Taught

_BY_MODEL = "labelled by a model"
_NO_PICTURE = "whose picture is missing"


class CocoKeypoints(Source):
    """Persons of a COCO-keypoints JSON file of any maker, in its pictures (see `find_pictures`).

    Unlabelled joints (v = 0) weigh nothing. Two fields that COCO does not have are used where present:
    ``keypoint_source`` (one letter a joint, g for a human's label) and ``keypoint_confidence``; joints that are
    not a human's weigh half their confidence. People with ``segmentation`` polygons lend themselves for pasting.

    Args:
        human_only: leave out people whose ``label`` says that a model labelled them.
        skip_missing: leave out people whose picture is missing.
        images: folder of the pictures.
        cache: keeps decoded pictures; None for none.

    Raises:
        InputError: not such a file, a joint unknown to the skeleton, no usable person, a value that is none, or
            pictures missing.
    """

    def __init__(
        self,
        path: Path,
        skeleton: Skeleton,
        *,
        human_only: bool = False,
        skip_missing: bool = False,
        images: Path | None = None,
        cache: PictureCache | None = None,
    ) -> None:
        self.name = str(path)
        file = read_coco(path)
        self._taught, self._joints = Taught(path, file.joints, skeleton), len(file.joints)
        names = {key: image.name for key, image in file.images.items()}
        pictures = find_pictures(path, names, images)
        #: Of each person: picture, box (4,) xyxy, joints (J, 2), their weights (J,), outline.
        self._people: list[tuple[Path, np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]] = []
        self.groups: list[str] = []
        absent: dict[Id, str] = {}
        self._sizes: dict[Path, tuple[int, int] | None] = {}
        for annotation in file.annotations:
            reason, picture = "", pictures[annotation.image]
            joints, weight = self._labels(annotation)
            if annotation.crowd:
                reason = CROWD
            elif not weight.any():
                reason = UNLABELLED
            elif human_only and not annotation.human:
                reason = _BY_MODEL
            elif (box := annotation.box) is None:
                reason = EMPTY
            elif picture is None:
                reason = _NO_PICTURE
                absent[annotation.image] = names[annotation.image]
            else:
                self._sizes[picture] = file.images[annotation.image].size
                self._people.append((picture, box, joints, weight, annotation.outline))
                self.groups.append(file.images[annotation.image].source or "coco")
            if reason:
                file.left_out.add(reason)
        if absent and not skip_missing:
            raise missing_pictures(path, absent.values(), ", or give --skip-missing")
        self.missing = len(absent)
        if not self._people:
            raise InputError(f"{path}: no labelled person to train on{file.left_out.why()}")
        self.warnings = [f"{path}: {line}" for line in file.left_out.lines()]
        if unknown := self._taught.unknown:
            self.warnings.append(f"{path}: left out {', '.join(unknown)}, which the model does not have")
        self._cache = cache or PictureCache()
        self._read(self._people[0][0])  # where pictures were replaced, nobody wants to learn it an hour later
        self.lenders = [partial(self._lend, index) for index, person in enumerate(self._people) if person[4]]

    def _labels(self, annotation: Annotation) -> Labels:
        """The model's joints (J, 2) and what they weigh (J,), none of them 0 where all are unlabelled."""
        points = annotation.keypoints_of(self._joints)
        by_human = annotation.by_human(len(points))
        sure = annotation.numbers_a_joint("keypoint_confidence", len(points))
        weights = np.where(by_human, 1.0, PSEUDO_WEIGHT * (1.0 if sure is None else sure))
        return self._taught(points[:, :2], weights * (points[:, 2] > 0))

    def _lend(self, index: int) -> Cutout | None:
        picture, *_, outline = self._people[index]
        return cut_out(self._read(picture), outline)

    def _read(self, picture: Path) -> np.ndarray:
        return self._cache.read(picture, self._sizes[picture])

    def __len__(self) -> int:
        return len(self._people)

    def example(self, index: int, frames: int) -> Example:
        picture, box, joints, weight, outline = self._people[index]
        return Example([self._read(picture)], box.copy(), joints.copy(), weight.copy(), outline)
