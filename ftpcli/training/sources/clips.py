"""Labelled clips: short videos with joints in every frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ftpcli.errors import InputError
from ftpcli.files.jsonfile import load_json
from ftpcli.skeleton import Skeleton
from ftpcli.training.augment import Example
from ftpcli.training.sources.common import Source, joints_box


class Clips(Source):
    """Labelled clips: a folder with ``clips.json`` (``joints``; ``clips`` with file, split, keypoints per frame).

    One person a clip, joints in every frame. The box is the extent of the joints inside the picture and 10 % a
    side, clipped. Neighbours are the clip's own frames; at its ends the key frame stands in for them.

    Raises:
        InputError: not such a folder, or the split is empty.
    """

    def __init__(self, folder: Path, skeleton: Skeleton, split: str = "train") -> None:
        self.name = str(folder)
        path = folder / "clips.json"
        data = load_json(path)
        try:
            self._clips = [clip for clip in data["clips"] if clip["split"] == split]
            self._columns = skeleton.indices(data["joints"])
            self._labels = [np.asarray(clip["keypoints"], dtype=np.float64) for clip in self._clips]
            self._files = [folder / clip["file"] for clip in self._clips]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: not a clips file ({type(error).__name__}: {error})") from error
        if not self._clips:
            raise InputError(f"{path}: no clip in split '{split}'")
        missing = [str(file) for file in self._files if not file.is_file()]
        if missing:
            raise InputError(f"{path}: {len(missing)} clips are missing, first {missing[0]}")
        self._joints = len(skeleton.joints)
        self._at = [(c, f) for c, labels in enumerate(self._labels) for f in range(len(labels))]
        self.groups = ["clips"] * len(self._at)
        self._frames: dict[int, list[np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self._at)

    def _images(self, clip: int) -> list[np.ndarray]:
        if clip not in self._frames:
            from ftpcli.video import open_source

            with open_source(self._files[clip]) as reader:
                self._frames[clip] = [frame.image for frame in reader]
        return self._frames[clip]

    def example(self, index: int, frames: int) -> Example:
        clip, at = self._at[index]
        images = self._images(clip)
        labels = self._labels[clip][at]
        joints, weight = np.zeros((self._joints, 2)), np.zeros(self._joints)
        height, width = images[at].shape[:2]
        inside = (labels >= 0).all(axis=1) & (labels[:, 0] < width) & (labels[:, 1] < height)
        for point, seen, column in zip(labels, inside, self._columns, strict=True):
            if column is not None and seen:
                joints[column], weight[column] = point, 1.0
        box = joints_box(labels[inside] if inside.any() else labels, width, height)
        reach = range(at - frames // 2, at + frames // 2 + 1)
        window = [images[t] if 0 <= t < len(images) else images[at] for t in reach]
        return Example(window, box, joints, weight)
