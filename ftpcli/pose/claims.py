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
    one joint with the other's area (https://cocodataset.org/#keypoints-eval), 1 at the same place.
    """
    if len(poses) < 2:
        return tuple(poses)
    points = np.stack([pose.keypoints for pose in poses])
    confidence = np.stack([pose.confidence for pose in poses])
    boxes = np.stack([pose.box for pose in poses])[:, None]
    within = np.asarray(((points >= boxes[..., :2]) & (points <= boxes[..., 2:])).all(axis=2))
    if within.all():
        return tuple(poses)
    sides = boxes[..., 2:] - boxes[..., :2]
    spread = 2 * sides[..., 0] * sides[..., 1] * _AREA_OF_BOX * (2 * skeleton.sigmas) ** 2
    person, joint = np.nonzero(~within)
    own, sure = points[person, joint], confidence[person, joint]
    others = np.arange(len(poses))[:, None] != person
    alike = np.zeros(len(person))
    for order in (np.arange(points.shape[1]), np.asarray(skeleton.flip)):  # by other person, joint outside its box
        there = order[joint]
        distance = np.square(own - points[:, there]).sum(axis=2)
        claimed = others & within[:, there] & (confidence[:, there] >= sure / 2)
        alike = np.maximum(alike, (np.exp(-distance / spread[:, joint]) * claimed).max(axis=0))
    settled = confidence.copy()
    settled[person, joint] = sure * (1 - alike)
    changed = set(person[alike > 0].tolist())
    return tuple(replace(pose, confidence=settled[n]) if n in changed else pose for n, pose in enumerate(poses))
