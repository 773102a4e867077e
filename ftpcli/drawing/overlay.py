"""Draws people on a frame: skeleton coloured by side, box and label in the person's own colour."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ftpcli.records import Pose
from ftpcli.skeleton import ANGLES, Skeleton, joint_angles

Colour = tuple[int, int, int]  # RGB

#: Told apart also by colour-blind people; left and right are the person's own.
LEFT: Colour = (255, 150, 30)
RIGHT: Colour = (40, 165, 255)
CENTRE: Colour = (235, 235, 235)
_DARK: Colour = (20, 20, 20)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SHIFT = 4  # bits behind the point in cv2's coordinates: lines move smoothly from frame to frame
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, slots=True)
class Style:
    """How people are drawn.

    Attributes:
        black: draw on black instead of the image.
        threshold: joints with a lower confidence are left out, with their bones.
        boxes, ids: whether boxes and labels are drawn.
        thickness: line width in pixels; by default it depends on the size of the person.
        angles: write joint angles beside the joints, see ``skeleton.joint_angles``.
        trails: seconds for which wrists, ankles and nose leave a line behind; of ``Drawer`` alone.
        blur_faces: cover all faces before anything is drawn; of ``Drawer`` alone.
    """

    black: bool = False
    threshold: float = 0.3
    boxes: bool = True
    ids: bool = True
    thickness: int | None = None
    angles: bool = False
    trails: float = 0.0
    blur_faces: bool = False


def draw(image: np.ndarray, poses: Sequence[Pose], joints: Sequence[str], style: Style = Style()) -> np.ndarray:
    """A copy of the image with the people drawn on it.

    Args:
        image: (H, W, 3) uint8 RGB.
        poses: people, drawn in this order. Joints may lie outside the picture or be missing (NaN).
        joints: joint names in the order of ``Pose.keypoints``; they give the sides.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    canvas = np.zeros_like(image) if style.black else image.copy()
    bones = Skeleton("drawn", tuple(joints)).edges
    for pose in poses:
        width = style.thickness or line_width(pose.box, canvas.shape)
        if style.boxes:
            _draw_box(canvas, pose.box, person_colour(pose.track_id), max(1, round(width * 0.5)))
        _draw_skeleton(canvas, pose, joints, bones, style.threshold, width)
    if style.angles:
        for pose in poses:
            _draw_angles(canvas, pose, joints, style.threshold)
    if style.ids:  # over all skeletons, or a neighbour would cover them
        for pose in poses:
            _draw_label(canvas, pose)
    return canvas


def person_colour(track_id: int) -> Colour:
    """The same id has the same colour everywhere; neighbouring ids have colours far apart."""
    hue = (track_id * _GOLDEN) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.65, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def side_colour(*names: str) -> Colour:
    """The colour of a joint, or of the bone between two joints."""
    left = any(name.startswith("left_") for name in names)
    right = any(name.startswith("right_") for name in names)
    return CENTRE if left == right else LEFT if left else RIGHT


def line_width(box: np.ndarray, shape: Sequence[int]) -> int:
    """Pixels: about 1/120 of the person's height, at most 1/120 of the picture's longer side."""
    if not np.isfinite(box).all():
        return 1
    return max(1, round(min(max(box[2] - box[0], box[3] - box[1]), max(shape[:2])) / 120))


def near(points: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Which (N, 2) points are finite and no further outside than the picture is large (cv2 takes 32-bit integers)."""
    reach = np.array([shape[1], shape[0]], dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.isfinite(points).all(axis=1) & (points >= -reach).all(axis=1) & (points <= 2 * reach).all(axis=1)


def _fixed(point: np.ndarray) -> tuple[int, int]:
    return round(float(point[0]) * (1 << _SHIFT)), round(float(point[1]) * (1 << _SHIFT))


def _draw_skeleton(
    canvas: np.ndarray,
    pose: Pose,
    joints: Sequence[str],
    bones: Sequence[tuple[int, int]],
    threshold: float,
    width: int,
) -> None:
    points = np.asarray(pose.keypoints, dtype=np.float64)
    confidence = np.asarray(pose.confidence, dtype=np.float64)
    seen = near(points, canvas.shape) & (confidence >= threshold) & (confidence > 0)
    radius = max(1, round(width * 0.9)) << _SHIFT
    passes: list[tuple[Colour | None, int, int]] = [(None, width, radius)]
    if width > 1:
        # Dark edges first: they keep the lines apart from a picture of the same colour, and from each other.
        edge = max(2, width // 2)
        passes.insert(0, (_DARK, width + edge, radius + (edge << _SHIFT - 1)))
    for pass_colour, pass_width, pass_radius in passes:
        for a, b in bones:
            if seen[a] and seen[b]:
                colour = pass_colour or side_colour(joints[a], joints[b])
                cv2.line(canvas, _fixed(points[a]), _fixed(points[b]), colour, pass_width, cv2.LINE_AA, _SHIFT)
        for joint in map(int, np.flatnonzero(seen)):
            colour = pass_colour or side_colour(joints[joint])
            cv2.circle(canvas, _fixed(points[joint]), pass_radius, colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)


def _corners(box: np.ndarray, shape: Sequence[int]) -> tuple[int, int, int, int] | None:
    """The box cut to just outside the picture, in whole pixels; None where nothing of it is to be seen."""
    if not np.isfinite(box).all():
        return None
    height, width = shape[:2]
    left, top = max(box[0], -2.0), max(box[1], -2.0)
    right, bottom = min(box[2], width + 1.0), min(box[3], height + 1.0)
    if left >= right or top >= bottom or left > width or top > height or right < 0 or bottom < 0:
        return None
    return round(left), round(top), round(right), round(bottom)


def _draw_box(canvas: np.ndarray, box: np.ndarray, colour: Colour, width: int) -> None:
    corners = _corners(box, canvas.shape)
    if corners is not None:
        cv2.rectangle(canvas, corners[:2], corners[2:], colour, width, cv2.LINE_AA)


def _draw_angles(canvas: np.ndarray, pose: Pose, joints: Sequence[str], threshold: float) -> None:
    """Whole degrees to the right of the joint that an angle is called after, the trunk's between the hips."""
    points = {joint: np.asarray(point, np.float64) for joint, point in zip(joints, pose.keypoints, strict=True)}
    if "left_hip" in points and "right_hip" in points:
        points["trunk"] = (points["left_hip"] + points["right_hip"]) / 2
    scale, stroke = _font_size(canvas)
    angles = joint_angles(joints, np.asarray(pose.keypoints), np.asarray(pose.confidence), threshold)
    for name, angle in zip(ANGLES, angles, strict=True):
        if np.isfinite(angle) and near(points[name][None], canvas.shape)[0]:
            origin = round(points[name][0]) + 4 * stroke, round(points[name][1])
            for colour, width in ((_DARK, 3 * stroke), (side_colour(name), stroke)):
                cv2.putText(canvas, f"{angle:.0f}", origin, _FONT, 0.8 * scale, colour, width, cv2.LINE_AA)


def _font_size(canvas: np.ndarray) -> tuple[float, int]:
    """Scale and line width of text."""
    scale = min(max(max(canvas.shape[:2]) / 1600, 0.35), 2.0)
    return scale, max(1, round(scale * 1.6))


def _draw_label(canvas: np.ndarray, pose: Pose) -> None:
    """The id on a patch of the person's colour, above the box or, at the top of the picture, inside it."""
    corners = _corners(pose.box, canvas.shape)
    if corners is None:
        return
    width = canvas.shape[1]
    scale, stroke = _font_size(canvas)
    text = str(pose.track_id)
    (text_width, text_height), _ = cv2.getTextSize(text, _FONT, scale, stroke)
    margin = max(2, round(4 * scale))
    full_width, full_height = text_width + 2 * margin, text_height + 2 * margin
    left = min(max(corners[0], 0), max(0, width - full_width))
    top = corners[1] - full_height if corners[1] >= full_height else max(corners[1], 0)
    colour = person_colour(pose.track_id)
    cv2.rectangle(canvas, (left, top), (left + full_width, top + full_height), colour, cv2.FILLED)
    origin = left + margin, top + margin + text_height
    cv2.putText(canvas, text, origin, _FONT, scale, _DARK, stroke, cv2.LINE_AA)
