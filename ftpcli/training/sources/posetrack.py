"""PoseTrack 2017, 2018 and 2021 as training data (protocol C1 and C4 of the DCPose family)."""

from __future__ import annotations

from pathlib import Path

from ftpcli.datasets.posetrack.index import PoseTrackIndex, clipped_box
from ftpcli.errors import InputError
from ftpcli.skeleton import Skeleton
from ftpcli.training.augment import Example
from ftpcli.training.sources.common import PictureCache, Source, Taught


class PoseTrack(Source):
    """Every annotated person of the labelled frames, with the neighbouring pictures, labelled or not.

    Raises:
        InputError: see PoseTrackIndex; or nobody is annotated, pictures are missing (``skip_missing`` leaves their
            windows out), or the model lacks every joint.
    """

    def __init__(
        self,
        root: Path,
        version: str,
        skeleton: Skeleton,
        split: str = "train",
        *,
        skip_missing: bool = False,
        cache: PictureCache | None = None,
    ) -> None:
        self.name = str(root)
        index = PoseTrackIndex(root, version, split)
        self._taught = Taught(root, index.joints, skeleton)
        self._people = [(s, f, p) for s, f, p in index.people() if p.box is not None]
        absent = sorted({str(f.image) for _, f, _ in self._people if not f.image.is_file()})
        if absent and not skip_missing:
            raise InputError(f"{root}: {len(absent)} pictures are missing, first {absent[0]}; or give --skip-missing")
        gone = set(absent)
        self.missing = len(gone)
        self._people = [row for row in self._people if str(row[1].image) not in gone]
        if not self._people:
            raise InputError(f"{root}: no annotated person in split '{split}'")
        self.groups = [f"posetrack{version}"] * len(self._people)
        self._cache = cache or PictureCache()

    def __len__(self) -> int:
        return len(self._people)

    def example(self, index: int, frames: int) -> Example:
        sequence, frame, person = self._people[index]
        paths, _ = sequence.window(frame.index, frames)
        images = [self._cache.read(path if path.is_file() else frame.image) for path in paths]
        height, width = images[len(images) // 2].shape[:2]
        joints, weight = self._taught(person.keypoints, person.visible)
        assert person.box is not None  # people without a box were left out
        box = clipped_box(person.box, width, height)
        return Example(images, person.box if box is None else box, joints, weight)
