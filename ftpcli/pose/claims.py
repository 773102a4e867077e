"""Joints that two people of a frame claim: whoever's box they lie in has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ftpcli.records import Pose
from ftpcli.skeleton import Skeleton

#: The part of a box that is its person, as COCO's evaluation takes it for boxes without an outline.
_AREA_OF_BOX = 0.53


def settle_claims(poses: Sequence[Pose], skeleton: Skeleton) -> tuple[Pose, ...]:
    """The poses of a frame, with less confidence in joints that are more likely another's.

    Of people who are hidden or cut off the model tends to put joints on whoever stands beside them. So where a joint
    lies outside its person's box, and another person has the same joint, of either side, within the own box and with
    at least half the confidence, the confidence is multiplied by 1 - s. s is how alike the two places are: OKS of that
    one joint (https://cocodataset.org/#keypoints-eval), 1 at the same place.
    """
    return tuple(_settled(pose, [other for other in poses if other is not pose], skeleton) for pose in poses)


def _settled(pose: Pose, others: Sequence[Pose], skeleton: Skeleton) -> Pose:
    outside = ~_within(pose.keypoints, pose.box)
    if not others or not outside.any():
        return pose
    alike = np.zeros(len(outside))
    for other in others:
        width, height = other.box[2:] - other.box[:2]
        spread = 2 * width * height * _AREA_OF_BOX * (2 * skeleton.sigmas) ** 2
        rightful = _within(other.keypoints, other.box)
        for order in (np.arange(len(outside)), np.asarray(skeleton.flip)):
            distance = np.square(pose.keypoints - other.keypoints[order]).sum(axis=1)
            claimed = outside & rightful[order] & (other.confidence[order] >= pose.confidence / 2)
            alike = np.maximum(alike, np.exp(-distance / spread) * claimed)
    return replace(pose, confidence=pose.confidence * (1 - alike)) if alike.any() else pose


def _within(points: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(K,) whether (K, 2) points lie in an xyxy box."""
    return np.asarray(((points >= box[:2]) & (points <= box[2:])).all(axis=1))
