"""COCO results: the plain list that pycocotools' ``loadRes`` takes, beside a COCO file of the same frames."""

from __future__ import annotations

import numpy as np

from ftpcli.formats.base import ListSink, box_xywh, rounded
from ftpcli.records import FramePoses
from ftpcli.skeleton import COCO17


class CocoResultsSink(ListSink):
    """Writes one entry a person. ``image_id`` is the frame's index + 1, as in our COCO files, or the number that is a
    picture's own name, as in COCO's data set; the third number of a keypoint is its confidence."""

    skeleton = COCO17
    takes_all = True
    lacks = "the list of frames, times, and names of joints"

    def write(self, frame: FramePoses) -> None:
        name = self.options.frame_name(frame.index) if self.options.frame_name else ""
        stem = name.replace("\\", "/").rpartition("/")[2].partition(".")[0]
        image = int(stem) if stem.isdecimal() and stem.isascii() and len(stem) < 19 else frame.index + 1
        for pose in frame.poses:
            keypoints, confidence = self.order(pose)
            entry = {
                "image_id": image,
                "category_id": 1,
                "keypoints": np.column_stack([rounded(keypoints), confidence]).ravel().tolist(),
                "score": float(pose.score),
                "bbox": rounded(box_xywh(pose.box, frame.index)).tolist(),
                "track_id": int(pose.track_id),
            }
            self.entry(entry)
