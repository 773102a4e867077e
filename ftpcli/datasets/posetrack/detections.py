"""Person boxes from a detection list, as published top-down results use them (specification A2, C1)."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ftpcli.datasets.coco import Annotation, Id
from ftpcli.datasets.detections import read_detections
from ftpcli.datasets.posetrack.index import PoseTrackIndex, VideoFrame, VideoSequence
from ftpcli.errors import InputError
from ftpcli.files.tensors import sha256

#: Detections below this score are not used (DCPose, TAR-ViTPose).
MIN_SCORE = 0.2


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
        left_out: the others.

    Raises:
        InputError: see `read_detections`.
    """

    def __init__(self, path: Path | str, index: PoseTrackIndex, min_score: float = MIN_SCORE) -> None:
        self.path, self.min_score = Path(path), min_score
        self._by_id, self._by_name = _frame_keys(index)
        self._boxes, self.left_out = read_detections(self.path, self._key, min_score)
        self.used = sum(map(len, self._boxes.values()))

    def _key(self, entry: Annotation) -> tuple[int, int] | None:
        if "image_id" in entry.entry:
            return self._by_id.get(entry.image)
        name = entry.entry.get("image_name")
        if not isinstance(name, str):
            raise InputError(f"{entry.where}: has neither 'image_id' nor 'image_name'")
        picture = PurePosixPath(name)
        digits = picture.stem.split("_")[0]
        return self._by_name.get((picture.parent.name, int(digits))) if digits.isdecimal() else None

    def of(self, sequence: int, frame: int) -> np.ndarray:
        """(N, 5) xyxy and score of a frame's detections, in the file's order.

        Args:
            sequence, frame: places in ``index.sequences`` and in the sequence's ``frames``.
        """
        return self._boxes.get((sequence, frame), np.zeros((0, 5)))

    def describe(self) -> dict[str, Any]:
        """What a report says of the box source."""
        described = {"source": "detected", "file": self.path.name, "sha256": sha256(self.path)}
        return {**described, "min_score": self.min_score, "boxes": self.used}


def _frame_keys(index: PoseTrackIndex) -> tuple[dict[Id, tuple[int, int]], dict[tuple[str, int], tuple[int, int]]]:
    """Frames by image id, and by (folder, number) as detection lists name them."""
    by_id: dict[Id, tuple[int, int]] = {}
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
