"""ultralytics' ByteTrack and BoT-SORT, called directly: detections in, the same detections with ids out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ftpcli.errors import UsageError
from ftpcli.people._ultralytics import BOTSORT, Boxes, BYTETracker, IterableSimpleNamespace

TRACKERS = ("bytetrack", "botsort")
#: A person who is not found for longer gets a new id, seconds.
MEMORY = 1.0


class Found(NamedTuple):
    """Whom a tracker found: rows of id, xyxy and score, float64, sorted by id.

    The boxes are those of the matched detections, not the tracker's smoothed ones, which lag behind fast movement.
    """

    people: np.ndarray  # (M, 6), in the frame that was given
    late: np.ndarray  # (K, 6), in the frame before it: those who are reported only now


class Tracker:
    """Follows the people of one video. Make a new one for every video: ids begin at 1.

    The tracker itself counts frames. Its memory is therefore set from the frame rate, so that an id survives
    one second (`MEMORY`) without a detection, whether the video has 5 or 60 frames a second. Where frames are
    skipped, give the rate of those that are looked at.

    A new person is reported in the second frame in which they are found (in the video's first frame at once);
    until then they may be a false alarm. `Found.late` then says where they were in the first. Ids are numbered in
    the order of first report.

    Args:
        kind: "bytetrack" (motion and overlap) or "botsort" (also undoes the camera's movement).
        frame_rate: frames per second; None where unknown, taken as 30.
        score: from this score on, a detection may start a track. Weaker ones only carry on a track.
    """

    def __init__(self, kind: str = "bytetrack", frame_rate: float | None = None, score: float = 0.25) -> None:
        if kind not in TRACKERS:
            raise UsageError(f"unknown tracker '{kind}': {' or '.join(TRACKERS)}")
        rate = frame_rate if frame_rate and np.isfinite(frame_rate) and frame_rate > 0 else 30.0
        self.kind = kind
        self.buffer = max(2, round(MEMORY * rate))
        settings = IterableSimpleNamespace(
            tracker_type=kind,
            track_high_thresh=score,
            track_low_thresh=min(0.1, score),
            new_track_thresh=score,
            track_buffer=self.buffer,
            match_thresh=0.8,
            fuse_score=False,  # a weak detection in the right place is still the person
            gmc_method="sparseOptFlow",
            proximity_thresh=0.5,
            appearance_thresh=0.8,
            with_reid=False,
            model="auto",
        )
        self._tracker = BOTSORT(settings) if kind == "botsort" else BYTETracker(settings)
        self._ids: dict[int, int] = {}
        self._unconfirmed: dict[int, np.ndarray] = {}  # tracker's id -> xyxy and score in the latest frame

    def update(self, detections: np.ndarray, image: np.ndarray) -> Found:
        """Take the next frame.

        Args:
            detections: (N, 5) xyxy and score.
            image: (H, W, 3) uint8 RGB, the frame. BoT-SORT measures the camera's movement on it.
        """
        detections = np.asarray(detections, np.float32).reshape(-1, 5)
        rows = np.concatenate([detections, np.zeros((len(detections), 1), np.float32)], 1)
        bgr = np.ascontiguousarray(image[..., ::-1]) if self.kind == "botsort" else None
        tracked = np.asarray(self._tracker.update(Boxes(rows, image.shape[:2]), bgr), np.float64).reshape(-1, 8)
        tracked = tracked[np.argsort(tracked[:, 4], kind="stable")]
        people, late = np.zeros((len(tracked), 6)), []
        for i, row in enumerate(tracked):
            people[i, 0] = self._ids.setdefault(int(row[4]), len(self._ids) + 1)
            people[i, 1:] = detections[int(row[7])]
            if int(row[4]) in self._unconfirmed:
                late.append([people[i, 0], *self._unconfirmed[int(row[4])]])
        new = [track for track in self._tracker.tracked_stracks if not track.is_activated]
        self._unconfirmed = {track.track_id: detections[int(track.idx)] for track in new}
        return Found(_by_id(people), _by_id(np.array(late, np.float64).reshape(-1, 6)))


def _by_id(rows: np.ndarray) -> np.ndarray:
    return rows[np.argsort(rows[:, 0], kind="stable")]
