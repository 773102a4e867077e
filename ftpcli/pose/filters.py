"""Filters without lag, over whole tracks: a second pass over poses that are all known.

They see times, not frame numbers. Where the steps of a track are uneven it is resampled to even ones, filtered, and
read off at its own times.
"""

from __future__ import annotations

import math
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import IO, Any

import numpy as np

from ftpcli.errors import InputError, UsageError
from ftpcli.files.output import write_error
from ftpcli.formats.spool import FrameSpool
from ftpcli.pose.smoothing import Smoother, Smoothing, raw_of
from ftpcli.records import ROUNDING, FramePoses, Pose

_LEFT = ", left as they were"
_LONGEST = 0.5  # seconds without a joint after which it is filtered afresh
_UNEVEN = 0.02  # steps that differ from their median by more than this share are resampled
_LOW_RATE = "at a frame rate that is too low"
_SHORT_RUN = "in a run of frames that is too short"
_ORDER = 2  # of the Butterworth filter, which runs once forward and once backward
_HAMPEL = (3.0, 0.01)  # standard deviations from the median, and at least this share of the person's size


@dataclass(slots=True)
class Filter:
    """What is done to every joint of every track.

    Attributes:
        kind: which filter.
        cutoff: Hz, of butterworth and gaussian: where half of the power is left after both passes.
        window: seconds, of savgol (polynomials of third degree), median and outliers.
        fill_gaps: seconds; joints and people missing for at most this long are put in on the straight line between
            their neighbours. People filled in are marked so.
        outliers: put a joint that leaves the others of its window by more than three robust standard deviations
            (Hampel) on their median first.
        counts: how much was filled in, replaced, resampled or left as it was.

    Raises:
        UsageError: a number that makes no sense, or scipy is missing.
    """

    kind: Smoothing
    cutoff: float = 6.0
    window: float = 0.2
    fill_gaps: float = 0.0
    outliers: bool = False
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        if not 0 < self.cutoff < 1000:
            raise UsageError(f"--cutoff {self.cutoff:g}: must be above 0 Hz")
        if not 0 < self.window <= 10:
            raise UsageError(f"--window {self.window:g}: must lie between 0 and 10 seconds")
        if not 0 <= self.fill_gaps <= _LONGEST:
            raise UsageError(f"--fill-gaps {self.fill_gaps:g}: must lie between 0 and {_LONGEST:g} seconds")
        if (self.kind.whole_tracks or self.outliers) and find_spec("scipy") is None:
            raise UsageError(f"--filter {self.kind}: needs scipy; install it with: pip install 'ftp-pose[smooth]'")

    def recorded(self) -> dict[str, Any]:
        """What a header says of it."""
        used: dict[str, Any] = {"filter": str(self.kind)}
        if self.kind in (Smoothing.BUTTERWORTH, Smoothing.GAUSSIAN):
            used["cutoff"] = self.cutoff
        if self.kind in (Smoothing.SAVGOL, Smoothing.MEDIAN) or self.outliers:
            used["window"] = self.window
        return used | {"fill_gaps": self.fill_gaps, "outliers": self.outliers}

    def said(self) -> list[str]:
        """What was done, once it is done."""
        return [f"{count:,} {what}" for what, count in self.counts.items() if count]

    def passed_over(self) -> list[str]:
        """Of what was done, the joints that were not filtered."""
        return [line for line in self.said() if line.endswith(_LEFT)]

    def __call__(self, frames: Iterable[FramePoses], cuts: Iterable[int] = ()) -> Iterator[FramePoses]:
        """The frames, filtered. They wait on the disk; memory holds the joints of one track at a time.

        Args:
            cuts: indices of the first frames of shots; nothing is taken across them.

        Raises:
            InputError: a frame has no time, or times run backwards.
        """
        with FrameSpool() as spool, tempfile.TemporaryFile() as file:
            rows: dict[int, array[int]] = {}
            times = array("d")
            places, count, joints = array("q"), 0, 0
            for number, frame in enumerate(frames):
                if not math.isfinite(frame.seconds):
                    raise InputError("has no time, so its poses cannot be filtered; give --fps", frame.index)
                if times and frame.seconds < times[-1]:
                    raise InputError("time runs backwards, so its poses cannot be filtered", frame.index)
                times.append(frame.seconds)
                places.append(frame.index)
                for pose in frame.poses:
                    joints = len(pose.confidence)
                    rows.setdefault(pose.track_id, array("q")).extend((number, count))
                    _write(file, _table(pose))
                    count += 1
                spool.add(frame)
            file.flush()
            table = np.memmap(file, np.float64, "r+", shape=(count, 5 + 3 * joints)) if count else np.zeros((0, 5))
            shots = np.searchsorted(np.array(sorted(cuts)), np.array(places), side="right")
            added = self._tracks(rows, np.array(times), shots, table)
            at = 0
            smoother = Smoother() if self.kind is Smoothing.ONE_EURO else None
            for number, frame in enumerate(spool):
                poses = [_pose(pose, table[at + n]) for n, pose in enumerate(frame.poses)]
                at += len(poses)
                poses = sorted([*poses, *added.pop(number, ())], key=lambda pose: pose.track_id)
                whole = replace(frame, poses=tuple(poses))
                if smoother and number and shots[number] != shots[number - 1]:
                    smoother = Smoother()
                yield smoother(whole) if smoother else whole

    def _tracks(
        self, rows: dict[int, array[int]], times: np.ndarray, shots: np.ndarray, table: np.ndarray
    ) -> dict[int, list[Pose]]:
        """Filter every track in the table; people filled in, by the frame's place."""
        added: dict[int, list[Pose]] = {}
        for track, flat in rows.items():
            frames, at = np.array(flat).reshape(-1, 2).T
            for shot in np.unique(shots[frames]):
                of_shot = shots[frames] == shot
                self._track(track, frames[of_shot], at[of_shot], times, table, added)
        return added

    def _track(
        self,
        track: int,
        frames: np.ndarray,
        at: np.ndarray,
        times: np.ndarray,
        table: np.ndarray,
        added: dict[int, list[Pose]],
    ) -> None:
        mine = np.array(table[at])
        missing = self._missing(frames, times)
        every = np.concatenate([frames, missing])
        order = np.argsort(every, kind="stable")
        seconds = times[every[order]]
        absent = np.full((len(missing), mine.shape[1]), np.nan)
        values = np.concatenate([mine, absent])[order]
        known = ~np.isnan(values[:, 0])
        for column in range(5):  # box and score of people who were missing
            values[:, column] = np.where(
                known, values[:, column], np.interp(seconds, seconds[known], values[known, column])
            )
        size = math.sqrt(max(float(np.median(np.prod(values[:, 2:4] - values[:, :2], axis=1))), 1.0))
        for joint in range(5, values.shape[1], 3):
            self._joint(seconds, values[:, joint : joint + 3], size)
        back = np.empty_like(values)
        back[order] = values
        table[at] = back[: len(frames)]
        for frame, row in zip(missing.tolist(), back[len(frames) :], strict=True):
            points = np.nan_to_num(row[5:].reshape(-1, 3))
            box, absent = row[:4].copy(), np.zeros_like(points)
            pose = Pose(track, box, float(row[4]), points[:, :2].copy(), points[:, 2].copy(), True, absent)
            added.setdefault(frame, []).append(pose)
            self.counts["people filled in"] += 1

    def _missing(self, frames: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Places of frames in gaps that are to be filled."""
        gaps = np.flatnonzero((np.diff(frames) > 1) & (np.diff(times[frames]) <= self.fill_gaps + ROUNDING))
        return np.concatenate([np.arange(frames[g] + 1, frames[g + 1]) for g in gaps] or [np.zeros(0, np.int64)])

    def _joint(self, seconds: np.ndarray, table: np.ndarray, size: float) -> None:
        """Filter one joint of a track in place: ``table`` is (T, 3) x, y, confidence, NaN for people filled in."""
        there = np.flatnonzero(np.nan_to_num(table[:, 2]) > 0)
        if not len(there):
            return
        gaps = np.diff(seconds[there])
        for g in np.flatnonzero((np.diff(there) > 1) & (gaps <= self.fill_gaps + ROUNDING)):
            between = np.arange(there[g] + 1, there[g + 1])
            ends = there[[g, g + 1]]
            for axis in (0, 1):
                table[between, axis] = np.interp(seconds[between], seconds[ends], table[ends, axis])
            table[between, 2] = table[ends, 2].min()
            self.counts["joints filled in"] += len(between)
        there = np.flatnonzero(np.nan_to_num(table[:, 2]) > 0)
        for run in np.split(there, np.flatnonzero(np.diff(seconds[there]) > _LONGEST + ROUNDING) + 1):
            table[run, :2] = self._run(seconds[run], table[run, :2], size)

    def _run(self, seconds: np.ndarray, points: np.ndarray, size: float) -> np.ndarray:
        """(T, 2) filtered positions of a joint that is never missing for long."""
        if not (self.outliers or self.kind.whole_tracks):
            return points
        if len(seconds) < 4 or seconds[-1] <= seconds[0]:
            self.counts[f"joints in runs of less than four frames{_LEFT}"] += len(seconds)
            return points
        steps = np.diff(seconds)
        step = float(np.median(steps[steps > 0]))
        even = bool((np.abs(steps - step) <= _UNEVEN * step).all())
        grid = seconds if even else np.linspace(seconds[0], seconds[-1], round((seconds[-1] - seconds[0]) / step) + 1)
        if not even:
            self.counts["joints at uneven times, resampled"] += len(seconds)
            points = _read_off(grid, seconds, points)
        if self.outliers:
            points = self._hampel(points, step, size)
        if self.kind.whole_tracks:
            points = self._filtered(points, step)
        return points if even else _read_off(seconds, grid, points)

    def _hampel(self, points: np.ndarray, step: float, size: float) -> np.ndarray:
        from scipy.ndimage import median_filter

        window = (self._frames(step), 1)
        middle = median_filter(points, window, mode="nearest")
        away = np.abs(points - middle)
        limit = np.maximum(_HAMPEL[0] * 1.4826 * median_filter(away, window, mode="nearest"), _HAMPEL[1] * size)
        wild = (away > limit).any(axis=1)
        self.counts["joints that were outliers"] += int(wild.sum())
        return np.where(wild[:, None], middle, points)

    def _filtered(self, points: np.ndarray, step: float) -> np.ndarray:
        from scipy import ndimage, signal

        frames = self._frames(step)
        if self.kind is Smoothing.MEDIAN:
            return np.asarray(ndimage.median_filter(points, (frames, 1), mode="nearest"))
        if self.kind is Smoothing.SAVGOL:
            if frames < 5:
                return self._as_they_were(points, _LOW_RATE, f" (--window from {5 * step:.2g} on)")
            if len(points) < 5:
                return self._as_they_were(points, _SHORT_RUN)
            longest = len(points) - 1 + len(points) % 2
            return np.asarray(signal.savgol_filter(points, min(frames, longest), 3, axis=0))
        if self.kind is Smoothing.GAUSSIAN:
            sigma = math.sqrt(math.log(2)) / (2 * math.pi * self.cutoff * step)
            return np.asarray(ndimage.gaussian_filter1d(points, sigma, axis=0, mode="nearest"))
        # Both passes together are to reach half of the power at the cutoff (Winter: Biomechanics, 2009).
        share = (math.sqrt(2) - 1) ** (1 / (2 * _ORDER))
        corrected = self.cutoff / share
        if corrected >= 0.5 / step:
            return self._as_they_were(points, _LOW_RATE, f" (--cutoff below {share * 0.5 / step:.2g})")
        sections = signal.butter(_ORDER, corrected, fs=1 / step, output="sos")
        return np.asarray(
            signal.sosfiltfilt(sections, points, axis=0, padlen=min(3 * (2 * _ORDER + 1), len(points) - 1))
        )

    def _as_they_were(self, points: np.ndarray, why: str, instead: str = "") -> np.ndarray:
        self.counts[f"joints {why} for this filter{instead}{_LEFT}"] += len(points)
        return points

    def _frames(self, step: float) -> int:
        """The window as an odd number of frames."""
        return max(2 * round(self.window / step / 2) + 1, 3)


def _read_off(wanted: np.ndarray, seconds: np.ndarray, points: np.ndarray) -> np.ndarray:
    return np.column_stack([np.interp(wanted, seconds, points[:, axis]) for axis in (0, 1)])


def _write(file: IO[bytes], values: np.ndarray) -> None:
    try:
        file.write(values.tobytes())
    except OSError as error:
        raise write_error(tempfile.gettempdir(), error) from error


def _table(pose: Pose) -> np.ndarray:
    """(5 + 3K,) box, score, and x, y, confidence of every joint."""
    joints = np.column_stack([pose.keypoints, pose.confidence])
    return np.concatenate([pose.box, [pose.score], joints.ravel()]).astype(np.float64)


def _pose(pose: Pose, row: np.ndarray) -> Pose:
    joints = np.array(row[5:]).reshape(-1, 3)
    return replace(pose, keypoints=joints[:, :2].copy(), confidence=joints[:, 2].copy(), raw=raw_of(pose))
