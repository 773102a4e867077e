"""The box of a person for whom a file gives joints but no box."""

from __future__ import annotations

import numpy as np

#: By form, how far the joints' extent is scaled about its centre, and pixels added at its right and bottom before:
#: the rules by which published results on these data sets were made.
POSETRACK2017 = (1.2, 1.0)
#: Also how the ``bbox`` of PoseTrack 2018 itself was made; used for COCO files as well.
POSETRACK2018 = (1.3, 0.0)
CLIPS = (1.2, 0.0)


def box_of_joints(
    points: np.ndarray, rule: tuple[float, float], size: tuple[int, int] | None = None
) -> np.ndarray | None:
    """The joints' extent, enlarged; at least a pixel a side.

    Args:
        points: (n, 2) pixels, the labelled joints.
        rule: scale and added pixels, one of the constants above.
        size: width and height of the picture, where the box is to be clipped to it.

    Returns:
        (4,) float64 xyxy; None without joints.
    """
    if not len(points):
        return None
    scale, more = rule
    low, high = points.min(axis=0), points.max(axis=0) + more
    centre, half = (low + high) / 2, (high - low) / 2 * scale
    low, high = centre - half, centre + half
    if size is not None:
        low, high = np.maximum(low, 0), np.minimum(high, size)
    return np.concatenate([low, np.maximum(high, low + 1)])
