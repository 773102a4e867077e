"""ByteTrack (Zhang et al. 2022) in numpy: ids and boxes are those of ultralytics' tracker, which needs torch to load.

Boxes are followed by a Kalman filter of middle, aspect ratio and height, and of how these change from frame to frame.
Numbers are ultralytics', a test compares both.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import lap
import numpy as np

#: Standard deviations of place and speed, as shares of the height; those of the aspect ratio are numbers.
_PLACE, _SPEED = 1 / 20, 1 / 160
_MOTION = np.eye(8) + np.eye(8, k=4)
#: Largest 1 - IoU of a track with a weak detection, of one not yet confirmed, and of two tracks of one person.
_WEAK, _NEW, _SAME = 0.5, 0.7, 0.15


@dataclass(eq=False)
class Track:
    """Somebody who is followed.

    Attributes:
        idx: of the detection that it was matched with last, in its frame.
        is_activated: it was found a second time, or in the first frame.
    """

    mean: np.ndarray  # (8,) x, y, aspect, height and their speeds
    covariance: np.ndarray  # (8, 8)
    track_id: int
    idx: int
    first: int  # frame
    last: int
    is_activated: bool
    lost: bool = False

    @property
    def box(self) -> np.ndarray:
        """(4,) xyxy."""
        x, y, aspect, height = self.mean[:4]
        width = aspect * height
        left, top = x - width / 2, y - height / 2
        return np.array([left, top, left + width, top + height])


class ByteTrack:
    """Follows the people of one shot.

    Args:
        high: from this score on, a detection may start a track.
        low: weaker detections, down to this score, may only carry on a track.
        match: largest 1 - IoU of a track with a strong detection.
        memory: frames that a track may be lost for.

    Attributes:
        tracked_stracks: found in the latest frame, those not yet confirmed too.
    """

    def __init__(self, high: float, low: float, match: float, memory: int) -> None:
        self._high, self._low, self._match, self._memory = high, low, match, memory
        self.tracked_stracks: list[Track] = []
        self._lost: list[Track] = []
        self._removed: deque[int] = deque(maxlen=1000)  # ids that do not come back once they are lost again
        self._frame = self._ids = 0

    def update(self, detections: np.ndarray) -> list[Track]:
        """Takes the next frame's (N, 5) float32 xyxy and score; the confirmed tracks found in it."""
        self._frame += 1
        sides = detections[:, 2:4] - detections[:, :2]
        middles = (detections[:, :2] + detections[:, 2:4]) / 2
        seen = (sides > 0).all(axis=1)
        low = np.asarray(middles - sides / 2, np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            measured = np.concatenate([low + sides / 2, sides[:, :1] / sides[:, 1:], sides[:, 1:]], axis=1)
        boxes = np.concatenate([low, low + sides], axis=1)
        score = detections[:, 4]
        strong = [int(n) for n in np.flatnonzero(seen & (score >= self._high))]
        weak = [int(n) for n in np.flatnonzero(seen & (score > self._low) & (score < self._high))]

        unconfirmed = [track for track in self.tracked_stracks if not track.is_activated]
        pool = [track for track in self.tracked_stracks if track.is_activated] + self._lost
        _predict(pool)
        found: list[Track] = []
        again: list[Track] = []

        def match(tracks: list[Track], numbers: list[int], most: float) -> tuple[list[Track], list[int]]:
            """Pairs them; the tracks and detections that are left over."""
            pairs = _pairs(_distance([track.box for track in tracks], boxes[numbers]), most)
            _correct([tracks[a] for a in pairs], measured[[numbers[b] for b in pairs.values()]])
            for a, b in pairs.items():
                track = tracks[a]
                (again if track.lost else found).append(track)
                track.idx, track.last, track.is_activated, track.lost = numbers[b], self._frame, True, False
            taken = set(pairs.values())
            return (
                [track for n, track in enumerate(tracks) if n not in pairs],
                [number for n, number in enumerate(numbers) if n not in taken],
            )

        left, strong = match(pool, strong, self._match)
        missing, _ = match([track for track in left if not track.lost], weak, _WEAK)
        for track in missing:
            track.lost = True
        dropped, strong = match(unconfirmed, strong, _NEW)
        for number in strong:
            self._ids += 1
            mean = np.concatenate([np.asarray(measured[number], np.float64), np.zeros(4)])
            noise = np.diag(np.square(_noise(mean[None], 2, 10, 1e-2, 1e-5)[0]))
            found.append(Track(mean, noise, self._ids, number, self._frame, self._frame, self._frame == 1))
        stale = [track for track in self._lost if self._frame - track.last > self._memory]

        kept = [t for t in self.tracked_stracks if not t.lost and t not in dropped]
        kept += [track for track in (*found, *again) if track not in kept]
        lost = [track for track in self._lost if track.lost] + missing
        lost = [track for track in lost if track.track_id not in self._removed]
        self._removed.extend(track.track_id for track in (*dropped, *stale))
        self.tracked_stracks, self._lost = _without_doubles(kept, lost)
        return [track for track in self.tracked_stracks if track.is_activated]


def _noise(mean: np.ndarray, place: float, speed: float, aspect: float, turn: float) -> np.ndarray:
    """(N, 8) standard deviations for the heights of (N, 8) states."""
    height = mean[:, 3]
    p, s, one = place * _PLACE * height, speed * _SPEED * height, np.ones_like(height)
    return np.stack([p, p, aspect * one, p, s, s, turn * one, s], axis=1)


def _predict(tracks: list[Track]) -> None:
    """On to the next frame; the height of a lost track does not change."""
    if not tracks:
        return
    mean = np.stack([track.mean for track in tracks])
    mean[[track.lost for track in tracks], 7] = 0
    noise = np.zeros((len(tracks), 8, 8))
    noise[:, range(8), range(8)] = np.square(_noise(mean, 1, 1, 1e-2, 1e-5))
    mean = mean @ _MOTION.T
    covariance = _MOTION @ np.stack([track.covariance for track in tracks]) @ _MOTION.T + noise
    for n, track in enumerate(tracks):
        track.mean, track.covariance = mean[n], covariance[n]


def _correct(tracks: list[Track], measured: np.ndarray) -> None:
    """By (N, 4) middles, aspect ratios and heights of the detections."""
    if not tracks:
        return
    mean, covariance = np.stack([track.mean for track in tracks]), np.stack([track.covariance for track in tracks])
    projected = covariance[:, :4, :4].copy()
    projected[:, range(4), range(4)] += np.square(_noise(mean, 1, 1, 1e-1, 0)[:, :4])
    turned = np.linalg.solve(projected, covariance[:, :, :4].swapaxes(1, 2))  # the gain's transpose
    mean = mean + ((measured - mean[:, :4])[:, None] @ turned)[:, 0]
    covariance = covariance - turned.swapaxes(1, 2) @ (projected @ turned)
    for n, track in enumerate(tracks):
        track.mean, track.covariance = mean[n], covariance[n]


def _distance(a: list[np.ndarray], b: list[np.ndarray] | np.ndarray) -> np.ndarray:
    """(N, M) float32 1 - IoU of xyxy boxes."""
    one = np.asarray(a, np.float32).reshape(-1, 1, 4)
    two = np.asarray(b, np.float32).reshape(1, -1, 4)
    sides = np.minimum(one[..., 2:], two[..., 2:]) - np.maximum(one[..., :2], two[..., :2])
    shared = sides.clip(0).prod(axis=2)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(axis=2) for boxes in (two, one)]
    return np.asarray(1 - shared / (areas[0] + areas[1] - shared + np.float32(1e-7)), np.float32)


def _pairs(distance: np.ndarray, most: float) -> dict[int, int]:
    """Rows and columns of the cheapest assignment whose costs are at most ``most``."""
    if not distance.size:
        return {}
    _, columns, _ = lap.lapjv(distance, extend_cost=True, cost_limit=most)
    return {row: int(column) for row, column in enumerate(columns) if column >= 0}


def _without_doubles(tracked: list[Track], lost: list[Track]) -> tuple[list[Track], list[Track]]:
    """Of two tracks in one place, the one that was followed for longer stays."""
    drop: set[Track] = set()
    for a, b in np.argwhere(_distance([t.box for t in tracked], [t.box for t in lost]) < _SAME):
        one, other = tracked[a], lost[b]
        drop.add(other if one.last - one.first > other.last - other.first else one)
    return [track for track in tracked if track not in drop], [track for track in lost if track not in drop]
