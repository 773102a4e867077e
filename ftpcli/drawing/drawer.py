"""Draws one frame after the other, with what needs the frames before: trails, and faces that stay covered."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import cv2
import numpy as np

from ftpcli.drawing.faces import FaceBlur
from ftpcli.drawing.overlay import Style, draw, line_width, near, side_colour
from ftpcli.records import Pose

_TRAILED = ("left_wrist", "right_wrist", "left_ankle", "right_ankle", "nose")


class Drawer:
    """Draws the frames of one video, in their order.

    Args:
        joints: joint names in the order of ``Pose.keypoints``.
    """

    def __init__(self, joints: Sequence[str], style: Style = Style()) -> None:
        self._joints, self._style = joints, style
        self._blur = FaceBlur(joints) if style.blur_faces and not style.black else None
        self._trailed = [place for place, joint in enumerate(joints) if joint in _TRAILED]
        self._trails: dict[int, deque[tuple[float, np.ndarray]]] = {}

    def __call__(
        self, image: np.ndarray, poses: Sequence[Pose], seconds: float, others: Sequence[Pose] = ()
    ) -> np.ndarray:
        """A copy of a frame's (H, W, 3) picture with its people drawn on it.

        Args:
            others: people who are not drawn, but whose faces are covered like those of all.
        """
        if self._blur is not None:
            image = image.copy()
            self._blur(image, [*poses, *others], seconds)
        drawn = draw(image, poses, self._joints, self._style)
        if self._style.trails:
            self._draw_trails(drawn, poses, seconds)
        return drawn

    def _draw_trails(self, canvas: np.ndarray, poses: Sequence[Pose], seconds: float) -> None:
        for pose in poses:
            trail = self._trails.setdefault(pose.track_id, deque())
            points = np.array(pose.keypoints, dtype=np.float64)[self._trailed]
            points[np.asarray(pose.confidence)[self._trailed] < max(self._style.threshold, 1e-9)] = np.nan
            trail.append((seconds, points))
            width = max(1, (self._style.thickness or line_width(pose.box, canvas.shape)) // 2)
            for place, joint in enumerate(self._trailed):
                line = np.array([points[place] for _, points in trail])
                line = line[near(line, canvas.shape)].round().astype(np.int32)
                if len(line) > 1:
                    cv2.polylines(canvas, [line], False, side_colour(self._joints[joint]), width, cv2.LINE_AA)
        for track, trail in list(self._trails.items()):
            while trail and not 0 <= seconds - trail[0][0] <= self._style.trails:
                trail.popleft()
            if not trail:
                del self._trails[track]
