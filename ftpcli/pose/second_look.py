"""A second estimate of joints that jump: a box covers two people for a moment, and the pose is the other person's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ftpcli.records import FramePoses, Pose, TrackedFrame, Window

if TYPE_CHECKING:
    from ftpcli.pose.tokens import SharedTokens

#: Mean displacement of the joints since the frame before that counts as a jump, as a share of the person's size then
#: (root of the box area).
_LEAP = 0.1
#: A smaller displacement is doubtful, too, where the mean confidence falls to less than this share of what it was.
_SHIFT = 0.03
_FALL = 0.85
#: Seconds between two frames beyond which a jump and a movement look the same.
_APART = 0.1
#: Seconds for which a person may be estimated in boxes of earlier frames.
_KEPT = 0.25


class _Last(NamedTuple):
    seconds: float
    own: float  # seconds of the last frame whose pose was estimated in the person's own box
    pose: Pose


class SecondLook:
    """Where a person's joints jump from one frame to the next, estimates them again in the box of the frame before.

    It does the same where they move less but their mean confidence falls sharply: then some of them have jumped.
    The second pose is taken where it is less than half as far away and at least as confident, and its box becomes the
    person's. Fast movement is kept, because it is estimated alike in both boxes.

    Args:
        estimate: poses of windows, as :meth:`ftpcli.pose.estimator.Estimator.estimate`.
    """

    def __init__(self, estimate: Callable[[Sequence[Window], SharedTokens | None], list[Pose]]) -> None:
        self._estimate = estimate
        self._last: dict[int, _Last] = {}

    def __call__(self, windows: Sequence[Window], record: FramePoses, tokens: SharedTokens | None = None) -> FramePoses:
        """The record of a frame, with other poses where needed.

        Args:
            windows: of the record's poses, in their order.
            tokens: crops encoded for a second look can serve the next frame's.
        """
        doubtful = [n for n, pose in enumerate(record.poses) if self._may_leap(pose, record.seconds)]
        if not doubtful:
            return record
        poses = list(record.poses)
        before = {n: self._last[poses[n].track_id].pose for n in doubtful}
        again = self._estimate(
            [replace(windows[n], person=replace(windows[n].person, box=before[n].box, view=None)) for n in doubtful],
            tokens,
        )
        for n, pose in zip(doubtful, again, strict=True):
            nearer = _leap(before[n], pose) < 0.5 * _leap(before[n], poses[n])
            if nearer and pose.confidence.mean() >= poses[n].confidence.mean():
                poses[n] = pose
        return replace(record, poses=tuple(poses))

    def remember(self, tracked: TrackedFrame, record: FramePoses) -> None:
        """Keep a frame's result for the next one; ``record`` may come from an interrupted run."""
        now = record.seconds
        last = {i: one for i, one in self._last.items() if 0 < now - one.seconds <= _APART}
        for person, pose in zip(tracked.people, record.poses, strict=True):
            before = last.get(pose.track_id)
            own = now if before is None or np.array_equal(person.box, pose.box) else before.own
            last[pose.track_id] = _Last(now, own, pose)
        self._last = last

    def _may_leap(self, pose: Pose, now: float) -> bool:
        last = self._last.get(pose.track_id)
        if last is None or not 0 < now - last.seconds <= _APART or now - last.own > _KEPT:
            return False
        moved = _leap(last.pose, pose)
        unsure = pose.confidence.mean() < _FALL * last.pose.confidence.mean()
        return moved > _LEAP or (moved > _SHIFT and bool(unsure))


def _leap(before: Pose, after: Pose) -> float:
    """Mean displacement of the joints as a share of the person's size before."""
    x1, y1, x2, y2 = before.box
    size = float(np.sqrt(max((x2 - x1) * (y2 - y1), 1.0)))
    return float(np.linalg.norm(after.keypoints - before.keypoints, axis=1).mean()) / size
