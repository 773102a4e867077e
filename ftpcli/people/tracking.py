"""The trackers that can be chosen: all that ultralytics ships, called directly, but for ByteTrack.

A command's help lists them, so that numpy and ultralytics are imported only where they are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

#: A person who is not found for longer gets a new id, seconds.
MEMORY = 1.0
#: Detections down to this score carry a track on, but start none: of somebody in an unusual posture little is left.
_WEAK = 0.05
#: Largest 1 - IoU of a track and a detection that are matched first.
_MATCH = 0.8


class TrackerName(StrEnum):
    """By motion and overlap; ``botsort``, ``deepocsort`` and ``tracktrack`` also undo the camera's movement."""

    BYTETRACK = "bytetrack"
    BOTSORT = "botsort"
    OCSORT = "ocsort"
    DEEPOCSORT = "deepocsort"
    FASTTRACK = "fasttrack"
    TRACKTRACK = "tracktrack"

    @property
    def sees(self) -> bool:
        """Whether it looks at the picture: for the camera's movement and, where asked for, for appearance."""
        return self in (TrackerName.BOTSORT, TrackerName.DEEPOCSORT, TrackerName.TRACKTRACK)


def memory_frames(frame_rate: float | None) -> int:
    """How many frames `MEMORY` is; an unknown rate (None) is taken as 30 frames per second."""
    return max(2, round(MEMORY * (frame_rate if frame_rate and 0 < frame_rate < float("inf") else 30.0)))


class Found(NamedTuple):
    """Whom a tracker found: rows of id, xyxy and score, float64, sorted by id.

    The boxes are those of the matched detections, not the tracker's smoothed ones, which lag behind fast movement.
    """

    people: np.ndarray  # (M, 6), in the frame that was given
    late: np.ndarray  # (K, 6), in the frame before it: those who are reported only now


class Tracker:
    """Follows the people of one shot.

    The tracker itself counts frames. Its memory is therefore set from the frame rate, so that an id survives
    one second (`MEMORY`) without a detection, whether the video has 5 or 60 frames a second. Where frames are
    skipped, give the rate of those that are looked at.

    A new person is reported in the second frame in which they are found (in the first frame of all at once);
    until then they may be a false alarm. `Found.late` then says where they were in the first. Ids are numbered in
    the order of first report.

    Args:
        frame_rate: frames per second; None where unknown, taken as 30.
        score: from this score on, a detection may start a track. Weaker ones only carry on a track.
        ids: gives the ids of new people; by default they begin at 1.
        appearance: also compare the colours of people's clothes, for trackers that see (their re-identification).
    """

    def __init__(
        self,
        kind: TrackerName = TrackerName.BYTETRACK,
        frame_rate: float | None = None,
        score: float = 0.25,
        ids: Iterator[int] | None = None,
        appearance: bool = False,
    ) -> None:
        self._kind, self._appearance = TrackerName(kind), appearance
        self._new_ids = count(1) if ids is None else ids
        self._ids: dict[int, int] = {}  # by the tracker's own id
        self._unconfirmed: dict[int, np.ndarray] = {}  # tracker's id -> xyxy and score in the latest frame
        self._tracker: Any
        memory = memory_frames(frame_rate)
        if self._kind is TrackerName.BYTETRACK:
            from ftpcli.people.bytetrack import ByteTrack

            self._tracker = ByteTrack(score, min(_WEAK, score), _MATCH, memory)
            return
        from ftpcli.people._ultralytics import TRACKER_MAP, tracker_settings

        settings = tracker_settings(
            self._kind.value,
            track_high_thresh=score,
            track_low_thresh=min(_WEAK, score),
            new_track_thresh=score,
            track_buffer=memory,
            match_thresh=_MATCH,
            fuse_score=False,  # a weak detection in the right place is still the person
            use_byte=True,  # as ByteTrack does, OC-SORT's two carry tracks on with weak detections
            gmc_method="sparseOptFlow",
            with_reid=appearance,
            model="auto",  # features come from us
            min_track_len=2,
            active_occ_to_lost_thresh=max(1, memory // 3),
            occ_reappear_window=memory,
        )
        self._tracker = TRACKER_MAP[self._kind.value](settings)

    def update(self, detections: np.ndarray, image: np.ndarray) -> Found:
        """Take the next frame.

        Args:
            detections: (N, 5) xyxy and score.
            image: (H, W, 3) uint8 RGB, the frame. Trackers that see measure the camera's movement on it.
        """
        import numpy as np

        detections = np.asarray(detections, np.float32).reshape(-1, 5)
        people, late = [], []
        for track, place in sorted(self._follow(detections, image)):
            if track not in self._ids:
                self._ids[track] = next(self._new_ids)
            people.append([self._ids[track], *detections[place]])
            if track in self._unconfirmed:
                late.append([self._ids[track], *self._unconfirmed[track]])
        new = [track for track in self._tracker.tracked_stracks if not track.is_activated]
        self._unconfirmed = {track.track_id: detections[int(track.idx)] for track in new}
        by_id = [np.array(sorted(rows, key=lambda row: row[0]), np.float64).reshape(-1, 6) for rows in (people, late)]
        return Found(*by_id)

    def _follow(self, detections: np.ndarray, image: np.ndarray) -> list[tuple[int, int]]:
        """The tracker's id and the place in ``detections`` of everyone who is confirmed."""
        import numpy as np

        if self._kind is TrackerName.BYTETRACK:
            return [(track.track_id, track.idx) for track in self._tracker.update(detections)]
        from ftpcli.people._ultralytics import Boxes

        rows = np.concatenate([detections, np.zeros((len(detections), 1), np.float32)], 1)
        bgr = np.ascontiguousarray(image[..., ::-1]) if self._kind.sees else None
        looks = {"feats": np.stack([_colours(image, box) for box in rows])} if self._appearance and len(rows) else {}
        tracked = np.asarray(self._tracker.update(Boxes(rows, image.shape[:2]), bgr, **looks)).reshape(-1, 8)
        return [(int(row[4]), int(row[7])) for row in tracked]


def _colours(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(648,) float32, roots of the shares of 6 x 6 x 6 colours in the upper, middle and lower third of the middle half
    of a box (xyxy): the cosine of two such vectors is the mean Bhattacharyya coefficient of the thirds."""
    import numpy as np

    height, width = image.shape[:2]
    x0, y0, x1, y1 = (float(side) for side in box[:4])
    xs = np.linspace((3 * x0 + x1) / 4, (x0 + 3 * x1) / 4, 16).clip(0, width - 1).astype(int)
    ys = np.linspace(y0, y1, 48).clip(0, height - 1).astype(int)
    places = image[np.ix_(ys, xs)] // 43 @ np.array([36, 6, 1])
    shares = [np.bincount(third.ravel(), minlength=216) / third.size for third in np.split(places, 3)]
    return np.sqrt(np.concatenate(shares)).astype(np.float32)
