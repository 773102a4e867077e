"""YOLO-pose: a folder with ``images``, ``labels`` and ``data.yaml``, as ultralytics trains on it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ftpcli.datasets.coco import VISIBLE
from ftpcli.formats.base import Sink, WriteOptions, needed_size
from ftpcli.formats.names import PictureNames
from ftpcli.records import FramePoses, Header
from ftpcli.skeleton import COCO17

_DIGITS = 7  # a hundredth of a pixel in pictures of any size


class YoloSink(Sink):
    """Writes a label file a frame, numbers as shares of the picture's size; boxes are cut at its edge, and joints
    beyond it are absent, since ultralytics refuses others. v is 2, 1 or 0 as in COCO files."""

    suffix = ""
    folder = True
    pictures = True
    skeleton = COCO17
    takes_all = True
    lacks = "track ids, scores and times"

    def __init__(self, stream: Any, header: Header, options: WriteOptions) -> None:
        super().__init__(stream, header, options)
        self._names = PictureNames(header, options)
        self._size = np.array(needed_size(header, "YOLO labels need"), dtype=np.float64)

    def write(self, frame: FramePoses) -> None:
        lines = []
        for pose in frame.poses:
            corners = np.clip(np.asarray(pose.box).reshape(2, 2) / self._size, 0.0, 1.0)
            if (corners[1] <= corners[0]).any():
                self.left_out["people whose box lies outside of the picture"] += 1
                continue
            keypoints, confidence = self.order(pose)
            places = keypoints / self._size
            beyond = (confidence > 0) & ((places < 0) | (places > 1)).any(axis=1)
            self.left_out["joints outside of the picture"] += int(beyond.sum())
            v = np.where(beyond | (confidence <= 0), 0, np.where(confidence >= VISIBLE, 2, 1))
            places[v == 0] = 0.0
            box = [*corners.mean(axis=0), *(corners[1] - corners[0])]
            joints = (f"{x:.{_DIGITS}f} {y:.{_DIGITS}f} {n}" for (x, y), n in zip(places, v, strict=True))
            lines.append(" ".join(["0", *(f"{value:.{_DIGITS}f}" for value in box), *joints]) + "\n")
        name = self._names(frame.index)
        self.stream.write(f"labels/train/{name.rpartition('.')[0]}.txt", "".join(lines).encode("ascii"))
        if self.options.image:
            self.stream.write(f"images/train/{name}", self.options.image())

    def close(self, frames: int) -> None:
        joints = self.held.joints
        text = (
            "# Pictures belong into images/train, below the same names as in labels/train.\n"
            "train: images/train\nval: images/train\n"
            f"kpt_shape: [{len(joints)}, 3]\nflip_idx: {self.held.flip.tolist()}\n"
            f"names:\n  0: person\nkpt_names:\n  0: [{', '.join(joints)}]\n"
        )
        self.stream.write("data.yaml", text.encode("ascii"))
