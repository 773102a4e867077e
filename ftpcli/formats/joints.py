"""From the joints of a model or a file to those of another, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ftpcli.errors import OutputError
from ftpcli.files.checked_json import MAX_COORDINATE
from ftpcli.records import Pose
from ftpcli.skeleton import PERSON19, Skeleton

HEAD_POINTS = ("head_bottom", "head_top")


def skeleton_of(joints: Sequence[str]) -> Skeleton:
    """The skeleton of these joints.

    Raises:
        OutputError: a name that no file of ours may hold.
    """
    unknown = [joint for joint in joints if joint not in PERSON19.joints]
    if unknown or len(set(joints)) != len(joints):
        raise OutputError(f"joints cannot be written: {', '.join(unknown) or 'a name stands twice'}")
    return Skeleton("file", tuple(joints))


def edge_names(skeleton: Skeleton) -> list[list[str]]:
    return [[skeleton.joints[a], skeleton.joints[b]] for a, b in skeleton.edges]


def category(skeleton: Skeleton) -> dict[str, Any]:
    """The one entry of ``categories`` in COCO and PoseTrack files. Skeleton numbers are 1-based there."""
    return {
        "supercategory": "person",
        "id": 1,
        "name": "person",
        "keypoints": list(skeleton.joints),
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.edges],
        "sigmas": skeleton.sigmas.tolist(),
    }


def located(keypoints: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (..., K, 2) and confidence (..., K) that a file can hold, copied as float64.

    A joint whose numbers are not finite, or millions of pixels away, was not located: it becomes (0, 0) with
    confidence 0, the sign of an absent joint in every format.
    """
    keypoints = np.array(keypoints, dtype=np.float64)
    confidence = np.array(confidence, dtype=np.float64)
    lost = ~((np.abs(keypoints) <= MAX_COORDINATE).all(axis=-1) & (np.abs(confidence) <= MAX_COORDINATE))
    keypoints[lost] = 0.0
    confidence[lost] = 0.0
    return keypoints, confidence


def raw_pose(pose: Pose) -> Pose | None:
    """The pose as it was before its joints were filtered; None where they were not."""
    if pose.raw is None:
        return None
    return replace(pose, keypoints=pose.raw[:, :2], confidence=pose.raw[:, 2], raw=None)


class JointMap:
    """Arranges the joints of a pose in another order.

    Args:
        source: joint names of the poses to come.
        target: joint names wanted. One that the source lacks is absent: (0, 0), confidence 0.
        blank: target joints left absent whatever the source says.
        head_stand_ins: where the source lacks both head points, use the customary stand-ins of the field
            (PoseTrack, joint orders): head_bottom is the middle of the shoulders, head_top is the nose's mirror
            image of it, both with the mean score of the shoulders.
    """

    def __init__(
        self, source: Sequence[str], target: Sequence[str], *, blank: Sequence[str] = (), head_stand_ins: bool = False
    ) -> None:
        wanted = Skeleton("source", tuple(source)).indices(target)
        pairs = [(t, s) for t, s in enumerate(wanted) if s is not None and target[t] not in blank]
        self._to = np.array([t for t, _ in pairs], dtype=np.intp)
        self._from = np.array([s for _, s in pairs], dtype=np.intp)
        self._count = len(target)
        self._stand_ins: tuple[list[int], list[int]] | None = None
        needed = ("left_shoulder", "right_shoulder", "nose")
        if head_stand_ins and not set(HEAD_POINTS) & set(source) and set(needed) <= set(source):
            self._stand_ins = ([target.index(p) for p in HEAD_POINTS], [source.index(p) for p in needed])

    def __call__(self, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints (K, 2) and confidence (K,) in target order; absent joints are exact zeros."""
        points, scores = located(pose.keypoints, pose.confidence)
        points[scores <= 0] = 0.0
        scores[scores <= 0] = 0.0
        keypoints = np.zeros((self._count, 2))
        confidence = np.zeros(self._count)
        keypoints[self._to] = points[self._from]
        confidence[self._to] = scores[self._from]
        if self._stand_ins is not None:
            (bottom, top), (left, right, nose) = self._stand_ins
            if scores[left] > 0 and scores[right] > 0:
                keypoints[bottom] = (points[left] + points[right]) / 2
                confidence[bottom] = (scores[left] + scores[right]) / 2
                if scores[nose] > 0:
                    keypoints[top] = 2 * points[nose] - keypoints[bottom]
                    confidence[top] = confidence[bottom]
        return keypoints, confidence
