"""Where training examples come from: COCO-keypoints JSON, labelled clips. Joints are matched by name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from ftpcli.errors import InputError
from ftpcli.skeleton import Skeleton
from ftpcli.training.augment import Example

#: Joints that a teacher made weigh this much beside human labels of weight 1.
PSEUDO_WEIGHT = 0.5
#: Decoded pictures are kept up to this many bytes a source; beyond it they are decoded each time.
CACHE_BYTES = 6 * 1024**3


class Source(Protocol):
    """Examples by number. ``groups`` names each example's origin, for figures per source."""

    name: str
    groups: Sequence[str]

    def __len__(self) -> int: ...

    def example(self, index: int, frames: int) -> Example: ...


class ImageCache:
    """Decoded pictures by path, kept while they fit."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._images: dict[Path, np.ndarray] = {}
        self._room = limit

    def read(self, path: Path) -> np.ndarray:
        """(H, W, 3) uint8 RGB; raises InputError where the file is no picture."""
        if path in self._images:
            return self._images[path]
        content = np.fromfile(path, np.uint8) if path.is_file() else None
        image = cv2.imdecode(content, cv2.IMREAD_COLOR_RGB) if content is not None and content.size else None
        if image is None:
            raise InputError(f"{path}: picture missing or unreadable")
        if image.nbytes <= self._room:
            self._room -= image.nbytes
            self._images[path] = image
        return image


def read_json(path: Path) -> Any:
    """A JSON file's content; raises InputError with one line."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a JSON file ({error})") from error


class CocoKeypoints:
    """Persons of a COCO-keypoints JSON file; pictures stand beside it under their ``file_name``.

    Unlabelled joints (v = 0) weigh nothing. Two fields that COCO does not have are used where present:
    ``keypoint_source`` (one letter a joint, g for a human's label) and ``keypoint_confidence``; joints that are
    not a human's weigh half their confidence.

    Raises:
        InputError: not such a file, a joint unknown to the skeleton, no usable person, pictures missing
            (with ``skip_missing`` their persons are left out and counted in ``missing``).
    """

    def __init__(self, path: Path, skeleton: Skeleton, *, human_only: bool = False, skip_missing: bool = False) -> None:
        self.name = str(path)
        data = read_json(path)
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
        return Example([self._cache.read(file)], np.array([x, y, x + w, y + h], float), joints, weight)


def _has_area(annotation: dict[str, Any]) -> bool:
    box = annotation.get("bbox")
    return isinstance(box, list) and len(box) == 4 and box[2] > 0 and box[3] > 0


class Clips:
    """Labelled clips: a folder with ``clips.json`` (``joints``; ``clips`` with file, split, keypoints per frame).

    One person a clip, joints in every frame. The box is the extent of the joints inside the picture and 10 % a
    side, clipped. Neighbours are the clip's own frames; at its ends the key frame stands in for them.

    Raises:
        InputError: not such a folder, or the split is empty.
    """

    def __init__(self, folder: Path, skeleton: Skeleton, split: str = "train") -> None:
        self.name = str(folder)
        path = folder / "clips.json"
        data = read_json(path)
        try:
            self._clips = [clip for clip in data["clips"] if clip["split"] == split]
            self._columns = skeleton.indices(data["joints"])
            self._labels = [np.asarray(clip["keypoints"], dtype=np.float64) for clip in self._clips]
            self._files = [folder / clip["file"] for clip in self._clips]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: not a clips file ({type(error).__name__}: {error})") from error
        if not self._clips:
            raise InputError(f"{path}: no clip in split '{split}'")
        missing = [str(file) for file in self._files if not file.is_file()]
        if missing:
            raise InputError(f"{path}: {len(missing)} clips are missing, first {missing[0]}")
        self._joints = len(skeleton.joints)
        self._at = [(c, f) for c, labels in enumerate(self._labels) for f in range(len(labels))]
        self.groups = ["clips"] * len(self._at)
        self._frames: dict[int, list[np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self._at)

    def _images(self, clip: int) -> list[np.ndarray]:
        if clip not in self._frames:
            from ftpcli.video import open_source

            with open_source(self._files[clip]) as reader:
                self._frames[clip] = [frame.image for frame in reader]
        return self._frames[clip]

    def example(self, index: int, frames: int) -> Example:
        clip, at = self._at[index]
        images = self._images(clip)
        labels = self._labels[clip][at]
        joints, weight = np.zeros((self._joints, 2)), np.zeros(self._joints)
        height, width = images[at].shape[:2]
        inside = (labels >= 0).all(axis=1) & (labels[:, 0] < width) & (labels[:, 1] < height)
        for point, seen, column in zip(labels, inside, self._columns, strict=True):
            if column is not None and seen:
                joints[column], weight[column] = point, 1.0
        box = joints_box(labels[inside] if inside.any() else labels, width, height)
        reach = range(at - frames // 2, at + frames // 2 + 1)
        window = [images[t] if 0 <= t < len(images) else images[at] for t in reach]
        return Example(window, box, joints, weight)


def joints_box(points: np.ndarray, width: int, height: int, margin: float = 0.1) -> np.ndarray:
    """(4,) xyxy: the extent of (n, 2) joints, grown by ``margin`` of its size a side, clipped to the picture."""
    low, high = points.min(axis=0), points.max(axis=0)
    grow = (high - low) * margin
    low, high = np.maximum(low - grow, 0), np.minimum(high + grow, [width, height])
    return np.concatenate([low, np.maximum(high, low + 1)])
