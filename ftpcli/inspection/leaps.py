"""Joints that are somewhere else for one frame: what ``ftp info`` counts and ``--suggest`` looks for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ftpcli.datasets.coco import VISIBLE
from ftpcli.records import FramePoses, Pose

#: A joint leaps where it lies further than this share of the box's longer side from the middle between its places one
#: frame before and one after, and further than these are from each other. Limbs in fast motion stay below at 25
#: frames a second.
LEAP = 0.1


class Neighbours:
    """Gives every pose together with those of the same track in the frames beside it."""

    def __init__(self) -> None:
        self._known: dict[int, list[tuple[int, Pose]]] = {}

    def add(self, frame: FramePoses) -> Iterator[tuple[Pose, Pose, Pose]]:
        """Take the next frame; gives (before, pose, after) of tracks in it and in the two before, at even steps."""
        now: dict[int, list[tuple[int, Pose]]] = {}
        for after in frame.poses:
            known = self._known.get(after.track_id, [])
            now[after.track_id] = [*known[-1:], (frame.index, after)]
            if len(known) == 2 and known[1][0] - known[0][0] == frame.index - known[1][0]:
                yield known[0][1], known[1][1], after
        self._known = now


def leaps(before: Pose, pose: Pose, after: Pose) -> np.ndarray:
    """(K,) bool: the joints of ``pose`` that leap (see ``LEAP``); none that is doubtful in one of the frames."""
    sure = np.stack([before.confidence, pose.confidence, after.confidence]).min(axis=0) >= VISIBLE
    off = np.linalg.norm(pose.keypoints - (before.keypoints + after.keypoints) / 2, axis=1)
    size = float(max(pose.box[2] - pose.box[0], pose.box[3] - pose.box[1]))
    return sure & (off > np.maximum(LEAP * size, np.linalg.norm(after.keypoints - before.keypoints, axis=1)))
