"""PoseTrack annotation and prediction files of 2017, 2018 and 2021 in one form: arrays of a whole video.

The 15 joints are those of ``POSETRACK15`` whatever the file's own order. A *form* is the JSON structure: "2017" for
``annolist``, "2018" for ``images`` and ``annotations``, which 2021 uses as well, "native" for our JSON Lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ftpcli.skeleton import POSETRACK15

#: What the official programs take for a missing score.
NO_SCORE = -9999.0
JOINTS = POSETRACK15.joints
_NOTHING = np.full(4, np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class FrameEntry:
    """One frame of a file, labelled or not."""

    name: str  # as the file gives it
    image_id: int | str | None  # 2018 form only
    labelled: bool | None  # None where the file does not say
    labelled_person: bool | None  # PoseTrack21's has_labeled_person: boxes, perhaps without joints
    regions: tuple[np.ndarray, ...] | None  # ignore polygons, each (n, 2) pixels; None where the file has no such field
    rows: slice  # its people in the arrays of VideoFile
    whole_numbers: bool = False  # every keypoint number of the frame is an integer in the file

    @property
    def number(self) -> int | None:
        """The number in the file name: 0-based in 2018 and 2021, starting anywhere in 2017."""
        match = re.match(r"(\d+)", PurePosixPath(self.name).name)
        return int(match.group(1)) if match else None

    @property
    def folder(self) -> str:
        """The folder that holds the frame: the name of the video."""
        return PurePosixPath(self.name).parent.name


@dataclass(frozen=True, slots=True, eq=False)
class VideoFile:
    """One file; P people entries of all its frames, grouped by frame, in file order."""

    path: Path
    form: str  # see above
    frames: tuple[FrameEntry, ...]
    track: np.ndarray  # (P,) int64, 0 where missing
    has_track: np.ndarray  # (P,) bool
    keypoints: np.ndarray  # (P, 15, 2) float64 pixels
    present: np.ndarray  # (P, 15) bool: listed (2017), or not exactly (0, 0, 0) (2018)
    scores: np.ndarray  # (P, 15) float64, NO_SCORE where missing
    scored: np.ndarray  # (P, 15) bool: the file gives a score
    head: np.ndarray  # (P, 4) float64 xyxy, NaN where missing
    box: np.ndarray  # (P, 4) float64 xyxy, NaN where missing (always in 2017)
    container: np.ndarray  # (P,) bool: there is a list of joints, perhaps an empty one
    orphans: int = 0  # annotations whose image is not in the file
    empty_scores: int = 0  # people with "scores": []
    missing_scores: int = 0  # people with no score at all
    jointless: int = 0  # people without a list of joints, left out

    def box_only(self, frame: FrameEntry) -> bool:
        """True for a PoseTrack21 frame with boxes and no joints (A5): not for pose evaluation."""
        return frame.labelled_person is not None and frame.labelled is False


class PeopleRows(list[tuple[Any, ...]]):
    """Collects people entries of one file and turns them into the arrays of VideoFile."""

    def add(
        self,
        track: int | None,
        keypoints: np.ndarray,
        present: np.ndarray,
        scores: np.ndarray,
        head: np.ndarray | None = None,
        box: np.ndarray | None = None,
        container: bool = True,
    ) -> None:
        """Add a person; scores are NaN where the file gives none, head and box xyxy."""
        head, box = (_NOTHING if corners is None else corners for corners in (head, box))
        self.append((track or 0, track is not None, keypoints, present, scores, head, box, container))

    def video(self, path: Path, form: str, frames: list[FrameEntry], **counts: int) -> VideoFile:
        """The whole file; ``counts`` are the last fields of VideoFile."""
        track, has_track, keypoints, present, scores, head, box, container = (
            zip(*self, strict=True) if self else [()] * 8
        )
        given = np.array(scores, dtype=np.float64).reshape(-1, len(JOINTS))
        listed = np.array(present, dtype=bool).reshape(given.shape)
        scored = ~np.isnan(given)
        return VideoFile(
            path=path,
            form=form,
            frames=tuple(frames),
            track=np.array(track, dtype=np.int64),
            has_track=np.array(has_track, dtype=bool),
            keypoints=np.array(keypoints, dtype=np.float64).reshape(*given.shape, 2),
            present=listed,
            scores=np.where(scored, given, NO_SCORE),
            scored=scored,
            head=np.array(head, dtype=np.float64).reshape(-1, 4),
            box=np.array(box, dtype=np.float64).reshape(-1, 4),
            container=np.array(container, dtype=bool),
            missing_scores=int((listed & ~scored).any(axis=1).sum()),
            **counts,
        )
