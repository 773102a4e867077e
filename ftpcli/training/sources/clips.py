"""Labelled clips: short videos with joints in every frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ftpcli.datasets.clips import read_clips
from ftpcli.skeleton import Skeleton
from ftpcli.training.augment import Example
from ftpcli.training.sources.common import Source, Taught


class Clips(Source):
    """Every frame of the clips of a split in which a joint lies inside the picture (see `read_clips`).

    Neighbours are the clip's own frames; at its ends the key frame stands in for them.

    Raises:
        InputError: not such a folder, or the split is empty.
    """

    def __init__(self, folder: Path, skeleton: Skeleton, split: str = "train") -> None:
        self.name = str(folder)
        self._clips = read_clips(folder, split)
        self._taught = Taught(folder, self._clips[0].joints, skeleton)
        self._boxes = [clip.boxes() for clip in self._clips]
        self._at = [(c, f) for c, boxes in enumerate(self._boxes) for f in np.flatnonzero(~np.isnan(boxes[:, 0]))]
        empty = sum(map(len, self._boxes)) - len(self._at)
        self.warnings = [f"{folder}: {empty} frames without a joint in the picture are left out"] if empty else []
        self.groups = ["clips"] * len(self._at)
        self._frames: dict[int, list[np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self._at)

    def _images(self, clip: int) -> list[np.ndarray]:
        if clip not in self._frames:
            from ftpcli.video import open_source

            with open_source(self._clips[clip].path) as reader:
                self._frames[clip] = [frame.image for frame in reader]
        return self._frames[clip]

    def example(self, index: int, frames: int) -> Example:
        c, at = self._at[index]
        images, clip = self._images(c), self._clips[c]
        joints, weight = self._taught(clip.points[at], clip.inside[at])
        reach = range(at - frames // 2, at + frames // 2 + 1)
        window = [images[t] if 0 <= t < len(images) else images[at] for t in reach]
        return Example(window, self._boxes[c][at], joints, weight)
