"""Makes faces unrecognisable where people's head joints are. No guarantee: who is not found is not covered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ftpcli.records import Pose

_FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
_HEAD = (*_FACE, "head_top", "head_bottom")
_TRUSTED = 0.1  # weak joints still tell better than the box where a head is
_MARGIN = 1.5
_SMALLEST = 0.08  # of the box's longer side: a head's radius in a standing figure is 0.06
_HELD = 1.0  # seconds for which a face that is lost stays covered
_GROWTH = 0.5  # of the radius for each of these seconds
_BLOCKS = 5  # across a face


@dataclass(frozen=True, slots=True)
class _Face:
    centre: np.ndarray  # (2,) pixels
    radius: float
    middle: np.ndarray  # (2,) of the person's box
    seconds: float


class FaceBlur:
    """Covers faces in one frame after the other.

    Every person's head is covered: around its joints, else where it was in the box, else in the box's upper part. So
    is the place of the frame before, moved with the box, since a joint may leap; and for a second the place of
    somebody who is lost.
    """

    def __init__(self, joints: Sequence[str]) -> None:
        self._face = [place for place, joint in enumerate(joints) if joint in _FACE]
        self._head = [place for place, joint in enumerate(joints) if joint in _HEAD]
        self._known: dict[int, _Face] = {}

    def __call__(self, image: np.ndarray, poses: Sequence[Pose], seconds: float) -> None:
        """Change the (H, W, 3) picture of a frame at a time in seconds."""
        covered = []
        for pose in poses:
            before = self._known.pop(pose.track_id, None)
            box = np.nan_to_num(np.asarray(pose.box, np.float64))
            if before is not None:
                middle = (box[:2] + box[2:]) / 2
                before = _Face(before.centre + middle - before.middle, before.radius, middle, seconds)
                covered.append(before)
            face = self._find(pose, box, before, seconds)
            covered.append(face)
            self._known[pose.track_id] = face
        now = {pose.track_id for pose in poses}
        for track, face in list(self._known.items()):
            age = abs(seconds - face.seconds)
            if age > _HELD:
                del self._known[track]
            elif track not in now:
                covered.append(_Face(face.centre, face.radius * (1 + _GROWTH * age), face.middle, face.seconds))
        for face in covered:
            _cover(image, face.centre, face.radius)

    def _find(self, pose: Pose, box: np.ndarray, before: _Face | None, seconds: float) -> _Face:
        points, trust = np.asarray(pose.keypoints, np.float64), np.asarray(pose.confidence)
        size, middle = box[2:] - box[:2], (box[:2] + box[2:]) / 2
        near = (np.abs(points - middle) <= size).all(axis=1) & (trust >= _TRUSTED)
        face, head = ([n for n in places if near[n]] for places in (self._face, self._head))
        if head:
            centre = points[face or head].mean(axis=0)
            reach = np.linalg.norm(points[head] - centre, axis=1).max()
            radius = _MARGIN * max(float(reach), _SMALLEST * float(size.max()))
            return _Face(centre, min(radius, _largest(size)), middle, seconds)
        if before is not None:
            return _Face(before.centre, before.radius, middle, seconds)
        radius = max(0.15 * float(size.max()), 0.3 * float(size[0]))
        return _Face(np.array([middle[0], box[1] + 0.1 * size[1]]), radius, middle, seconds)


def _largest(size: np.ndarray) -> float:
    """Pixels: a head fills no more of a person's box, whose sides are given; else its joints are wrong."""
    return max(0.2 * float(size.max()), 0.6 * float(size.min()))


def _cover(image: np.ndarray, centre: np.ndarray, radius: float) -> None:
    """Replace a disc by a few blocks of its mean colours."""
    height, width = image.shape[:2]
    radius = min(radius, float(max(height, width)))
    left, top = np.clip(np.floor(centre - radius), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(centre + radius) + 1, 0, (width, height)).astype(int)
    if left >= right or top >= bottom:
        return
    part = image[top:bottom, left:right]
    few = min(_BLOCKS, right - left), min(_BLOCKS, bottom - top)
    blocks = cv2.resize(cv2.resize(part, few, interpolation=cv2.INTER_AREA), part.shape[1::-1])
    y, x = np.ogrid[top:bottom, left:right]
    inside = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2
    part[inside] = blocks[inside]
