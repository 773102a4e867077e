"""Joint names, skeleton edges, left/right pairs, OKS sigmas and joint angles. Files are matched by these names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# COCO's sigmas (pycocotools); head_bottom and head_top have no official value,
# the shoulder's and the nose's stand in for them.
_SIGMAS = {
    "nose": 0.026,
    "eye": 0.025,
    "ear": 0.035,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
    "head_bottom": 0.079,
    "head_top": 0.026,
}

_EDGES = (
    ("left_ankle", "left_knee"),
    ("left_knee", "left_hip"),
    ("right_ankle", "right_knee"),
    ("right_knee", "right_hip"),
    ("left_hip", "right_hip"),
    ("left_shoulder", "left_hip"),
    ("right_shoulder", "right_hip"),
    ("left_shoulder", "right_shoulder"),
    ("left_shoulder", "left_elbow"),
    ("left_elbow", "left_wrist"),
    ("right_shoulder", "right_elbow"),
    ("right_elbow", "right_wrist"),
    ("head_bottom", "head_top"),
    ("head_bottom", "nose"),
    ("nose", "left_eye"),
    ("nose", "right_eye"),
    ("left_eye", "left_ear"),
    ("right_eye", "right_ear"),
)


@dataclass(frozen=True, slots=True)
class Skeleton:
    """An ordered set of named joints.

    Attributes:
        name: short name used in files and messages.
        joints: joint names in channel order. Left and right are the person's own.
    """

    name: str
    joints: tuple[str, ...]

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Bones as pairs of 0-based joint indices; bones with an absent end are left out."""
        at = {joint: i for i, joint in enumerate(self.joints)}
        return tuple((at[a], at[b]) for a, b in _EDGES if a in at and b in at)

    @property
    def flip(self) -> np.ndarray:
        """(K,) int: index of the joint that each joint becomes in a mirrored picture."""
        at = {joint: i for i, joint in enumerate(self.joints)}
        return np.array([at[mirrored_name(joint)] for joint in self.joints], dtype=np.int64)

    @property
    def sigmas(self) -> np.ndarray:
        """(K,) float: OKS sigmas, COCO's where COCO defines them."""
        return np.array([_SIGMAS[joint.removeprefix("left_").removeprefix("right_")] for joint in self.joints])

    def indices(self, joints: Sequence[str]) -> list[int | None]:
        """For each wanted joint its index in this skeleton, or None where it is absent."""
        at = {joint: i for i, joint in enumerate(self.joints)}
        return [at.get(joint) for joint in joints]


def mirrored_name(joint: str) -> str:
    """The joint's name in a mirrored picture: left and right change places."""
    if joint.startswith("left_"):
        return "right_" + joint.removeprefix("left_")
    if joint.startswith("right_"):
        return "left_" + joint.removeprefix("right_")
    return joint


_SIDES = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_LIMBS = tuple(f"{side}_{part}" for part in _SIDES for side in ("left", "right"))

COCO17 = Skeleton("coco17", ("nose", "left_eye", "right_eye", "left_ear", "right_ear", *_LIMBS))
#: What the default weights predict: COCO's 17 joints, then head_bottom (neck) and head_top.
PERSON19 = Skeleton("person19", (*COCO17.joints, "head_bottom", "head_top"))
#: Slots of PoseTrack 2018/2021 files. The ears are never annotated.
POSETRACK17 = Skeleton("posetrack17", ("nose", "head_bottom", "head_top", "left_ear", "right_ear", *_LIMBS))
_LEGS = ("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle")
_ARMS = ("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist")
#: Joint ids 0..14 of PoseTrack 2017 files and of the poseval program.
POSETRACK15 = Skeleton("posetrack15", (*_LEGS, *_ARMS, "head_bottom", "nose", "head_top"))
#: The twelve joints that PCK figures are pooled over.
BODY12 = _LIMBS

#: Angles of a body: at the middle one of three joints, 180 degrees where they lie on a line. A raised arm has a large
#: shoulder angle, a hanging one a small one.
_BENDS = {
    f"{side}_{name}": tuple(f"{side}_{joint}" for joint in joints)
    for name, joints in {
        "knee": ("hip", "knee", "ankle"),
        "hip": ("shoulder", "hip", "knee"),
        "elbow": ("shoulder", "elbow", "wrist"),
        "shoulder": ("elbow", "shoulder", "hip"),
    }.items()
    for side in ("left", "right")
}
#: Names of what ``joint_angles`` gives, in its order.
ANGLES = (*_BENDS, "trunk")


def joint_angles(
    joints: Sequence[str], keypoints: np.ndarray, confidence: np.ndarray, threshold: float = 0.3
) -> np.ndarray:
    """Angles in the picture's plane, in degrees; they are those of the body only where it moves in that plane.

    Args:
        joints: names of the K joints.
        keypoints: (..., K, 2) pixels, y runs down.
        confidence: (..., K).
        threshold: an angle with a less confident joint is NaN, like one of a joint that is not there.

    Returns:
        (..., 9) float64 in the order of ``ANGLES``: 0 to 180 between two bones. The trunk's is that of the line from
        the middle of the hips to the middle of the shoulders with the upright, -180 to 180, positive to the right.
    """
    at = {joint: index for index, joint in enumerate(joints)}
    found = np.full((*keypoints.shape[:-2], len(ANGLES)), np.nan)
    points = np.where(confidence[..., None] >= max(threshold, 1e-9), keypoints, np.nan)
    for place, bend in enumerate(_BENDS.values()):
        if all(joint in at for joint in bend):
            first, middle, last = (points[..., at[joint], :] for joint in bend)
            a, b = first - middle, last - middle
            cross = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
            flat = (a == 0).all(-1) | (b == 0).all(-1)
            found[..., place] = np.where(flat, np.nan, np.degrees(np.abs(np.arctan2(cross, (a * b).sum(-1)))))
    ends = [[f"{side}_{name}" for side in ("left", "right")] for name in ("hip", "shoulder")]
    if all(joint in at for pair in ends for joint in pair):
        hips, shoulders = (points[..., [at[joint] for joint in pair], :].mean(-2) for pair in ends)
        up = shoulders - hips
        found[..., -1] = np.where((up == 0).all(-1), np.nan, np.degrees(np.arctan2(up[..., 0], -up[..., 1])))
    return found
