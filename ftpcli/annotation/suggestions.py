"""Which frames are most worth a corrector's time."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np

from ftpcli.datasets.coco import VISIBLE
from ftpcli.pose.smoothing import person_size
from ftpcli.records import FramePoses, Pose
from ftpcli.skeleton import Skeleton, mirrored_name

_LEAP = 0.25  # share of a person's size that a joint moves from one frame to the next
_FILLED = 0.5  # what a person who was filled in counts


def suggest(frames: Iterable[FramePoses], joints: tuple[str, ...], count: int) -> list[int]:
    """Indices of up to ``count`` frames, rising: the most doubtful one of each of as many stretches of the video.

    A frame is as doubtful as its most doubtful person: the share of joints that are weak (confidence below 0.3) or
    lost, the share that leap away from where the frame before had them (coming back to there is no leap), more where
    left and right change places, and half a point for somebody who was filled in. Frames without people are never
    suggested.
    """
    flip = Skeleton("file", joints).flip if all(mirrored_name(joint) in joints for joint in joints) else None
    indices, doubts = array("q"), array("d")
    before: dict[int, tuple[Pose, bool]] = {}  # what to compare with, and whether a leap went by since
    for frame in frames:
        now, worst = dict[int, tuple[Pose, bool]](), 0.0
        for pose in frame.poses:
            known, leapt = before.get(pose.track_id, (pose, False))
            moved = _moved(pose, known, flip)
            worst = max(worst, moved + float((pose.confidence < VISIBLE).mean()) + _FILLED * pose.filled)
            now[pose.track_id] = (known, True) if moved and not leapt else (pose, False)
        if now:
            indices.append(frame.index)
            doubts.append(worst)
        before = now
    stretches = np.array_split(np.arange(len(indices)), min(count, len(indices)) or 1)
    return [indices[max(stretch.tolist(), key=lambda n: doubts[n])] for stretch in stretches if len(stretch)]


def _moved(pose: Pose, before: Pose, flip: np.ndarray | None) -> float:
    """The share of joints that leap, and that of those which leap to the other side's place."""
    reach = _LEAP * person_size(pose)
    both = (pose.confidence > 0) & (before.confidence > 0)
    far = np.linalg.norm(pose.keypoints - before.keypoints, axis=1)
    leaps = float((both & (far > reach)).mean())
    if flip is None:
        return leaps
    crossed = np.linalg.norm(pose.keypoints - before.keypoints[flip], axis=1)
    exchanged = both & (before.confidence[flip] > 0) & (crossed < 0.5 * far) & (far > reach / 2)
    return leaps + float(exchanged.mean())
