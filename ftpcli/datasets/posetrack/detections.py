"""Person boxes from a detection list, as published top-down results use them (specification A2, C1)."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ftpcli.datasets.coco import Annotation, read_results
from ftpcli.datasets.posetrack.index import PoseTrackIndex, VideoFrame, VideoSequence
from ftpcli.errors import InputError
from ftpcli.files import checked_json as checks

#: Detections below this score are not used (DCPose, TAR-ViTPose).
MIN_SCORE = 0.2
_PERSON = 1


class Detections:
    """Boxes of people by frame.

    Two forms are read, told apart entry by entry: ``image_id`` (merged PoseTrack18 lists), or ``image_name``
    (``val_boxes.json``). Names of 2017 refer to the renamed copies, which count from 1: number n is the n-th picture
    of the video, whatever its original number.

    Args:
        path: a JSON list of entries with ``bbox`` [x, y, w, h] and ``score``; ``category_id`` other than 1 is skipped.
        index: the data set that they belong to.
        min_score: weaker detections are left out.

    Attributes:
        used: how many boxes belong to frames of the index and are strong enough.

    Raises:
        InputError: not such a file, or none of its boxes belongs to the data set.
    """

    def __init__(self, path: Path | str, index: PoseTrackIndex, min_score: float = MIN_SCORE) -> None:
        self.path, self.min_score = Path(path), min_score
        by_id, by_name = _frame_keys(index)
        self._boxes: dict[tuple[int, int], list[np.ndarray]] = {}
        weak = strange = 0
        for entry in read_results(self.path):
            if (entry.category or _PERSON) != _PERSON:
                continue
            score = checks.number(checks.field(entry.entry, "score", entry.where), "'score'", entry.where)
            checks.field(entry.entry, "bbox", entry.where)
            key, box = self._key(entry, by_id, by_name), entry.own_box
            if key is None:
                strange += 1
            elif score < min_score or box is None:
                weak += 1
            else:
                self._boxes.setdefault(key, []).append(np.append(box, score))
        self.used = sum(map(len, self._boxes.values()))
        if strange and not self.used and not weak:
            raise InputError(f"{self.path}: none of its {strange} boxes belongs to a frame of {index.folder}")

    def _key(
        self,
        entry: Annotation,
        by_id: dict[int, tuple[int, int]],
        by_name: dict[tuple[str, int], tuple[int, int]],
    ) -> tuple[int, int] | None:
        if "image_id" in entry.entry:
            return by_id.get(entry.image) if isinstance(entry.image, int) else None
        name = entry.entry.get("image_name")
        if not isinstance(name, str):
            raise InputError(f"{entry.where}: has neither 'image_id' nor 'image_name'")
        picture = PurePosixPath(name)
        digits = picture.stem.split("_")[0]
        return by_name.get((picture.parent.name, int(digits))) if digits.isdecimal() else None

    def of(self, sequence: int, frame: int) -> np.ndarray:
        """(N, 5) xyxy and score of a frame's detections, in the file's order.

        Args:
            sequence, frame: places in ``index.sequences`` and in the sequence's ``frames``.
        """
        return np.array(self._boxes.get((sequence, frame), []), dtype=np.float64).reshape(-1, 5)

    def describe(self) -> dict[str, Any]:
        """What a report says of the box source."""
        digest = hashlib.sha256(self.path.read_bytes()).hexdigest()
        return {
            "source": "detected",
            "file": self.path.name,
            "sha256": digest,
            "min_score": self.min_score,
            "boxes": self.used,
        }


def _frame_keys(index: PoseTrackIndex) -> tuple[dict[int, tuple[int, int]], dict[tuple[str, int], tuple[int, int]]]:
    """Frames by image id, and by (folder, number) as detection lists name them."""
    by_id: dict[int, tuple[int, int]] = {}
    by_name: dict[tuple[str, int], tuple[int, int]] = {}
    for s, sequence in enumerate(index.sequences):
        for frame in sequence.frames:
            key = (s, frame.index)
            if frame.image_id is not None:
                by_id[frame.image_id] = key
            by_name[sequence.name, _number(index, sequence, frame)] = key
    return by_id, by_name


def _number(index: PoseTrackIndex, sequence: VideoSequence, frame: VideoFrame) -> int:
    if index.version == "17":
        return frame.position + 1
    stem = PurePosixPath(frame.name).stem
    return int(stem) if stem.isdecimal() else frame.position
