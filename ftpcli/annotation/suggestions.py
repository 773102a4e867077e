"""Which frames are most worth a corrector's time."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np

from ftpcli.datasets.coco import VISIBLE
from ftpcli.inspection.leaps import LEAP, Neighbours, leaps
from ftpcli.records import FramePoses, Pose
from ftpcli.skeleton import Skeleton, mirrored_name

_FILLED = 0.5  # what a person who was filled in counts


def suggest(frames: Iterable[FramePoses], joints: tuple[str, ...], count: int) -> list[int]:
    """Indices of up to ``count`` frames, rising: the most doubtful one of each of as many stretches of the video.

    A frame is as doubtful as its most doubtful person: the share of joints that are weak (confidence below 0.3) or
    lost, the share that leap (see ``inspection.leaps``), the share that change places with the other side, and half a
    point for somebody who was filled in. Frames without people are never suggested.
    """
    flip = Skeleton("file", joints).flip if all(mirrored_name(joint) in joints for joint in joints) else None
    indices, doubts = array("q"), array("d")
    neighbours, before, doubt = Neighbours(), dict[int, Pose](), dict[int, float]()
    for frame in frames:
        for earlier, pose, after in neighbours.add(frame):  # of the frame before: only now its next one is known
            doubts[-1] = max(doubts[-1], doubt[pose.track_id] + float(leaps(earlier, pose, after).mean()))
        doubt = {
            pose.track_id: float((pose.confidence < VISIBLE).mean())
            + _FILLED * pose.filled
            + _exchanged(pose, before.get(pose.track_id), flip)
            for pose in frame.poses
        }
        if doubt:
            indices.append(frame.index)
            doubts.append(max(doubt.values()))
        before = {pose.track_id: pose for pose in frame.poses}
    stretches = np.array_split(np.arange(len(indices)), min(count, len(indices)) or 1)
    return [indices[max(stretch.tolist(), key=lambda n: doubts[n])] for stretch in stretches if len(stretch)]


def _exchanged(pose: Pose, before: Pose | None, flip: np.ndarray | None) -> float:
    """The share of joints that are nearer to where the other side's joint was, and far from where they were."""
    if before is None or flip is None:
        return 0.0
    far = np.linalg.norm(pose.keypoints - before.keypoints, axis=1)
    crossed = np.linalg.norm(pose.keypoints - before.keypoints[flip], axis=1)
    sure = (pose.confidence > 0) & (before.confidence > 0) & (before.confidence[flip] > 0)
    size = float(max(pose.box[2] - pose.box[0], pose.box[3] - pose.box[1]))
    return float((sure & (crossed < 0.5 * far) & (far > LEAP * size)).mean())
