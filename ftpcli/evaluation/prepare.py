"""Annotations and predictions of one video, filtered as each official program filters them (B1, B5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ftpcli.datasets.posetrack.files import JOINTS, FrameEntry, VideoFile
from ftpcli.errors import InputError
from ftpcli.evaluation.regions import strictly_inside
from ftpcli.skeleton import POSETRACK17

#: PoseTrack21's order: the 17 slots without the ears (A1).
JOINTS21 = tuple(joint for joint in POSETRACK17.joints if not joint.endswith("_ear"))
_COLUMNS21 = np.array([JOINTS.index(joint) for joint in JOINTS21])


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """The people of one frame, N of them, J joints."""

    track: np.ndarray  # (N,) int64
    xy: np.ndarray  # (N, J, 2) float64
    has: np.ndarray  # (N, J) bool
    score: np.ndarray  # (N, J) float64
    head: np.ndarray  # (N,) float64 head sizes; NaN for predictions

    def __len__(self) -> int:
        return len(self.track)

    def keep(self, rows: np.ndarray) -> People:
        return People(self.track[rows], self.xy[rows], self.has[rows], self.score[rows], self.head[rows])


@dataclass(frozen=True, slots=True, eq=False)
class EvalFrame:
    """One evaluated frame."""

    name: str
    truth: People
    predicted: People


def head_sizes(head: np.ndarray) -> np.ndarray:
    """0.6 x the diagonal of head boxes (B2). (P, 4) xyxy -> (P,)."""
    width, height = head[:, 2] - head[:, 0], head[:, 3] - head[:, 1]
    return 0.6 * np.sqrt(width * width + height * height)


def prepare_posetrack(truth: VideoFile, predicted: VideoFile) -> list[EvalFrame]:
    """The evaluated frames of poseval, B1.1 to B1.4. Box-only frames of PoseTrack21 are left out (A5)."""
    frames = []
    for entry, other in zip(truth.frames, predicted.frames, strict=True):
        if entry.rows.start == entry.rows.stop or truth.box_only(entry):
            continue
        people, guesses = _people(truth, entry, entry.rows), _people(predicted, other, other.rows)
        people = people.keep(truth.container[entry.rows])
        guesses = guesses.keep(predicted.container[other.rows])
        if entry.regions:
            people = _outside(people, entry.regions, truth, entry)
            guesses = _outside(guesses, entry.regions, truth, entry)
        _check_heads(people, truth, entry)
        frames.append(EvalFrame(entry.name, people, guesses))
    return frames


def prepare_posetrack21(truth: VideoFile, predicted: VideoFile) -> list[EvalFrame]:
    """The evaluated frames of the PoseTrack21 program, with its joints and its order of them (B5)."""
    frames = []
    for entry, other in zip(truth.frames, predicted.frames, strict=True):
        if not entry.labelled:
            continue
        people = _people21(truth, entry)
        guesses = _people21(predicted, other)
        if other.whole_numbers:
            # The program keeps scores in the keypoints' array, which numpy makes one of integers.
            guesses = People(guesses.track, guesses.xy, guesses.has, np.trunc(guesses.score), guesses.head)
        if entry.regions:
            people = _outside21(people, entry.regions, truth, entry)
            guesses = _outside21(guesses, entry.regions, truth, entry)
        _check_heads(people, truth, entry)
        frames.append(EvalFrame(entry.name, people, guesses))
    return frames


def _people(video: VideoFile, entry: FrameEntry, rows: slice) -> People:
    return People(
        track=video.track[rows],
        xy=video.keypoints[rows],
        has=video.present[rows],
        score=video.scores[rows],
        head=head_sizes(video.head[rows]),
    )


def _people21(video: VideoFile, entry: FrameEntry) -> People:
    people = _people(video, entry, entry.rows)
    xy = people.xy[:, _COLUMNS21]
    has = np.all(xy > 0, axis=2)
    return People(people.track, xy, has, people.score[:, _COLUMNS21], people.head)


def _covered(xy: np.ndarray, regions: tuple[np.ndarray, ...], video: VideoFile, entry: FrameEntry) -> np.ndarray:
    """(N, J) bool: the point lies strictly inside an ignore region."""
    covered = np.zeros(xy.shape[:2], dtype=bool)
    for polygon in regions:
        if 0 < len(polygon) < 3:
            raise InputError(f"{video.path}: an ignore region of {entry.name} has {len(polygon)} points, 3 are needed")
        covered |= strictly_inside(xy.reshape(-1, 2), polygon).reshape(covered.shape)
    return covered


def _outside(people: People, regions: tuple[np.ndarray, ...], video: VideoFile, entry: FrameEntry) -> People:
    """Without the joints inside the regions, then without people who have none (also none before)."""
    has = people.has & ~_covered(people.xy, regions, video, entry)
    return People(people.track, people.xy, has, people.score, people.head).keep(has.any(axis=1))


def _outside21(people: People, regions: tuple[np.ndarray, ...], video: VideoFile, entry: FrameEntry) -> People:
    """As above, except that the program tells people without joints by x <= 0 and y <= 0 of all of them."""
    xy = np.where(_covered(people.xy, regions, video, entry)[..., None], 0.0, people.xy)
    people = People(people.track, xy, np.all(xy > 0, axis=2), people.score, people.head)
    return people.keep(np.any(xy > 0, axis=(1, 2)))


def _check_heads(people: People, video: VideoFile, entry: FrameEntry) -> None:
    if np.isnan(people.head).any():
        raise InputError(f"{video.path}: a person in {entry.name} has no head box, the evaluation's unit of length")
