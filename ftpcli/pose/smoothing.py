"""Less jitter: the filters that can be chosen.

A command's help lists them, so that numpy is imported only where it is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from ftpcli.errors import InputError
from ftpcli.records import ROUNDING, FramePoses, Pose

if TYPE_CHECKING:
    import numpy as np


class Smoothing(StrEnum):
    """How joints are smoothed over time."""

    NONE = "none"
    ONE_EURO = "one-euro"
    BUTTERWORTH = "butterworth"
    SAVGOL = "savgol"
    MEDIAN = "median"
    GAUSSIAN = "gaussian"

    @property
    def whole_tracks(self) -> bool:
        """Whether it looks ahead, so that it works on poses that are all known (``pose.filters``)."""
        return self not in (Smoothing.NONE, Smoothing.ONE_EURO)

    def start(self) -> Callable[[FramePoses], FramePoses] | None:
        """A fresh filter for the frames of one shot as they come; None where they stay as they are for now."""
        return Smoother() if self is Smoothing.ONE_EURO else None


#: The one-euro filter's parameters. On true joints of 30 fps action clips with noise of 1, 2 and 4 % of the person's
#: size added, these come closer to the truth than the noisy joints do, and take away 41 to 43 % of the jitter (mean
#: second difference).
_MIN_CUTOFF = 1.0  # Hz, the cutoff at rest: lower holds a resting joint more still
_BETA = 20.0  # Hz per person size per second: higher follows a moving joint more closely
_D_CUTOFF = 1.0  # Hz, the cutoff of the speed estimate
_MAX_GAP = 0.5 + ROUNDING  # seconds after which everything known of a joint or track is forgotten
_CONFIDENT = 0.3  # confidence from which on a joint counts in full


def _gain(cutoff: np.ndarray | float, elapsed: np.ndarray) -> np.ndarray:
    """How far the estimate goes towards a measurement that comes ``elapsed`` seconds later, 0..1."""
    turns = 2.0 * math.pi * cutoff * elapsed
    return turns / (1.0 + turns)


@dataclass(slots=True, eq=False)
class _Track:
    """What is known of a track's joints; times are NaN before a joint is first seen."""

    place: np.ndarray  # (K, 2) pixels
    speed: np.ndarray  # (K, 2) pixels per second
    time: np.ndarray  # (K,) seconds of the last measurement
    sure: np.ndarray  # (K,) seconds of the last confident measurement
    seen: float  # seconds of the last frame with this person


class Smoother:
    """The one-euro filter on the frames of one video, one after the other. Boxes, scores and confidences stay.

    G. Casiez, N. Roussel, D. Vogel: "1 Euro Filter: A Simple Speed-based Low-pass Filter for Noisy Input in
    Interactive Systems", CHI 2012. A low-pass filter whose cutoff rises with speed: a resting joint is held still,
    a fast one is followed closely. Speed is measured in person sizes per second (size: root of the box area), so that
    the same parameters fit a person who fills the picture and one far away, at any resolution.

    A joint below a confidence of 0.3 pulls its estimate in proportion to its confidence, so that a wild guess in an
    occluded moment does not throw the joint about. The longer no confident measurement came, the more a guess
    counts again; after half a second it counts in full. A joint that is absent (confidence 0) stays absent.

    A track, or a joint, that is missing for more than half a second starts afresh, and so does everything where time
    runs backwards. Tracks gone for longer are forgotten, so memory depends on the people in sight only.
    """

    def __init__(self) -> None:
        self._tracks: dict[int, _Track] = {}

    def __call__(self, frame: FramePoses) -> FramePoses:
        """The frame with smoothed keypoints, the measured ones beside them. Frames come in the order of the video.

        Raises:
            InputError: the frame has no time.
        """
        if not math.isfinite(frame.seconds):
            raise InputError("has no time, so its poses cannot be smoothed", frame.index)
        now = frame.seconds
        self._tracks = {key: track for key, track in self._tracks.items() if 0 <= now - track.seen <= _MAX_GAP}
        return replace(frame, poses=tuple(self._smooth(pose, now) for pose in frame.poses))

    def _smooth(self, pose: Pose, now: float) -> Pose:
        import numpy as np

        measured = np.asarray(pose.keypoints, dtype=np.float64)
        confidence = np.asarray(pose.confidence, dtype=np.float64)
        track = self._tracks.get(pose.track_id)
        if track is None or track.place.shape != measured.shape:
            unseen = np.full(len(measured), np.nan)
            track = _Track(measured.copy(), np.zeros_like(measured), unseen, unseen.copy(), now)
            self._tracks[pose.track_id] = track
        track.seen = now

        there = (confidence > 0) & np.isfinite(measured).all(axis=1)
        # False for NaN, so joints never seen before start afresh too.
        known = there & (now - track.time <= _MAX_GAP)
        afresh = there & ~known
        track.place[afresh] = measured[afresh]
        track.speed[afresh] = 0.0
        track.sure[afresh] = now
        if known.any():
            self._update(track, known, measured[known], confidence[known], now, person_size(pose))
        track.sure[there & (confidence >= _CONFIDENT)] = now
        track.time[there] = now
        return replace(pose, keypoints=np.where(there[:, None], track.place, measured), raw=raw_of(pose))

    def _update(
        self, track: _Track, at: np.ndarray, measured: np.ndarray, confidence: np.ndarray, now: float, size: float
    ) -> None:
        import numpy as np

        elapsed = now - track.time[at]
        trust = np.clip(np.maximum(confidence / _CONFIDENT, (now - track.sure[at]) / _MAX_GAP), 0.0, 1.0)
        step = measured - track.place[at]
        # Frames may share a time; nothing is learned about speed then.
        rate = np.divide(1.0, elapsed, out=np.zeros_like(elapsed), where=elapsed > 0)
        speed_gain = (trust * _gain(_D_CUTOFF, elapsed))[:, None]
        speed = track.speed[at] + speed_gain * (step * rate[:, None] - track.speed[at])
        cutoff = _MIN_CUTOFF + _BETA * np.hypot(speed[:, 0], speed[:, 1]) / size
        track.speed[at] = speed
        track.place[at] += (trust * _gain(cutoff, elapsed))[:, None] * step


def raw_of(pose: Pose) -> np.ndarray:
    """(K, 3) x, y, confidence before the first filter."""
    import numpy as np

    return np.column_stack([pose.keypoints, pose.confidence]) if pose.raw is None else pose.raw


def person_size(pose: Pose) -> float:
    """Root of the box area in pixels, at least one."""
    x1, y1, x2, y2 = (float(value) for value in pose.box)
    return math.sqrt(max((x2 - x1) * (y2 - y1), 1.0))
