"""A second look at joints that leap: a box stretches over two people for a moment, and the pose is the other's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ftpcli.records import FramePoses, Pose, TrackedFrame, Window

if TYPE_CHECKING:
    from ftpcli.pose.tokens import SharedTokens

#: Mean way of the joints from the frame before, in sizes (root of the area) of the box then, that is a leap.
_LEAP = 0.1
#: A shorter way is doubtful where the mean confidence falls with it, to less than this share.
_SHIFT = 0.03
_FALL = 0.85
#: Seconds: no leap can be told from a movement over longer times, and no box is kept for longer than the second.
_APART = 0.1
_KEPT = 0.25


class _Last(NamedTuple):
    seconds: float
    looked: float  # when the person's own box was last the one looked at
    pose: Pose


class SecondLook:
    """Where a person's joints leap from one frame to the next, estimates them again in the box of the frame before.

    So it does where they move less, but the model is far less sure of them than it was: a part of them has leapt.
    The second pose is taken where it leaps less than half as far and the model is no less sure of it; the person then
    has the box that was looked at. Fast movement stays: it looks the same in both boxes.

    Args:
        estimate: poses of windows, as :meth:`ftpcli.pose.estimator.Estimator.estimate`.
    """

    def __init__(self, estimate: Callable[[Sequence[Window], SharedTokens | None], list[Pose]]) -> None:
        self._estimate = estimate
        self._last: dict[int, _Last] = {}

    def __call__(self, windows: Sequence[Window], record: FramePoses, tokens: SharedTokens | None = None) -> FramePoses:
        """The record of a frame, where needed with other poses; ``windows`` are those of its poses, in their order.

        ``tokens`` carries what was encoded from one frame's second look to the next one's.
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
        """Go on to the next frame. ``record`` is what came of ``tracked``, now or in an interrupted run."""
        now = record.seconds
        last = {i: one for i, one in self._last.items() if 0 < now - one.seconds <= _APART}
        for person, pose in zip(tracked.people, record.poses, strict=True):
            before = last.get(pose.track_id)
            looked = now if before is None or np.array_equal(person.box, pose.box) else before.looked
            last[pose.track_id] = _Last(now, looked, pose)
        self._last = last

    def _may_leap(self, pose: Pose, now: float) -> bool:
        last = self._last.get(pose.track_id)
        if last is None or not 0 < now - last.seconds <= _APART or now - last.looked > _KEPT:
            return False
        way = _leap(last.pose, pose)
        unsure = pose.confidence.mean() < _FALL * last.pose.confidence.mean()
        return way > _LEAP or (way > _SHIFT and bool(unsure))


def _leap(before: Pose, after: Pose) -> float:
    """Mean way of the joints, in sizes of the box before."""
    x1, y1, x2, y2 = before.box
    size = float(np.sqrt(max((x2 - x1) * (y2 - y1), 1.0)))
    return float(np.linalg.norm(after.keypoints - before.keypoints, axis=1).mean()) / size
