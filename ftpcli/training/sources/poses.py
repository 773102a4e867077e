"""Poses files of ours with their video: how a corrected annotation becomes training data."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ftpcli.datasets.frames import split_name
from ftpcli.errors import InputError
from ftpcli.files import checked_json as checks
from ftpcli.files.inputs import VIDEO_SUFFIXES
from ftpcli.formats import VISIBLE, open_poses
from ftpcli.records import FramePoses, Pose
from ftpcli.skeleton import Skeleton
from ftpcli.training.augment import Example
from ftpcli.training.sources.common import Source, Taught

#: Bytes of a video's frames that are held in memory.
_MOST = 6 * 2**30


class Poses(Source):
    """Every person of a poses file (JSON Lines, COCO, PoseTrack) in the frames of its video.

    The video stands beside the file under the name that the file recorded, or that the folder of its pictures has.
    Joints from a confidence of 0.3 on are taught, weaker ones are not; a corrector who moves a joint sets its
    visibility to 2 (COCO) or its confidence to 1 (JSON Lines). Neighbours are the video's own frames.

    Raises:
        InputError: the file or its video cannot be read, no person is in it, or the video is too long to hold.
    """

    def __init__(self, path: Path, skeleton: Skeleton) -> None:
        self.name = str(path)
        self._path = path
        self._people: list[tuple[FramePoses, Pose]] = []
        self._video = _video_of(path)
        with open_poses(path, self._video) as reader:
            header = reader.header
            count = 0
            for frame in reader:
                self._people += [(frame, pose) for pose in frame.poses if _usable(pose)]
                count += len(frame.poses)
            self.warnings = [f"{path}: {line}" for line in reader.warnings]
        if not self._people:
            raise InputError(
                f"{path}: has no person to learn from, none of {count} has a joint of confidence {VISIBLE}"
            )
        if count > len(self._people):
            self.warnings.append(f"{path}: {count - len(self._people)} of {count} people have no joint to learn from")
        if not any((pose.confidence >= 1).any() for _, pose in self._people):
            self.warnings.append(
                f"{path}: no joint has confidence 1, as corrected ones have; from what it found itself a model learns "
                "nothing new"
            )
        self._taught = Taught(path, header.joints, skeleton)
        self._rotation = header.source.rotation
        self.groups = ["poses"] * len(self._people)
        self._frames: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._people)

    def _read(self) -> None:
        from ftpcli.video import open_source

        size = 0
        with open_source(self._video, rotate=self._rotation) as reader:
            for frame in reader:
                size += frame.image.nbytes
                if size > _MOST:
                    raise InputError(f"{self._video}: too long to train on as a whole; cut it into shorter clips")
                self._frames[frame.index] = frame.image

    def example(self, index: int, frames: int) -> Example:
        if not self._frames:
            self._read()
        record, pose = self._people[index]
        key = self._frames.get(record.index)
        if key is None:
            raise InputError(f"{self._path}: frame {record.index} is not in {self._video.name}; is it the same video?")
        reach = range(record.index - frames // 2, record.index + frames // 2 + 1)
        joints, weight = self._taught(pose.keypoints, pose.confidence >= VISIBLE)
        return Example([self._frames.get(t, key) for t in reach], pose.box, joints, weight)


def _video_of(path: Path) -> Path:
    """The video beside a poses file. Raises InputError where it is not there."""
    with open_poses(path) as reader:
        name = reader.header.source.path
        folders = {split_name(picture)[0] for picture in reader.picture_names.values()}
    if name is not None:
        checks.relative_name(name, "the name of its video", str(path))
    elif len(folders) == 1 and (stem := folders.pop()):
        beside = [one for one in path.parent.iterdir() if one.stem == stem and one.suffix.lower() in VIDEO_SUFFIXES]
        name = beside[0].name if len(beside) == 1 else f"{stem}.mp4"
    if not name:
        raise InputError(f"{path}: does not name its video; 'ftp convert {path} OUT.jsonl --video VIDEO' adds that")
    if not (path.parent / name).exists():
        raise InputError(f"{path}: its video {name} is not beside it; copy it there")
    return path.parent / name


def _usable(pose: Pose) -> bool:
    x1, y1, x2, y2 = pose.box
    return bool(x2 > x1 and y2 > y1 and (pose.confidence >= VISIBLE).any())
