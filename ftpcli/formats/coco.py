"""COCO keypoints JSON: a whole data set file, as pycocotools and annotation tools load it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ftpcli.datasets.coco import VISIBLE
from ftpcli.formats.base import WriteOptions, box_xywh, filled_mark, rounded
from ftpcli.formats.image_sink import ImageListSink, picture_size, provenance
from ftpcli.formats.joints import category, raw_pose
from ftpcli.formats.names import PictureNames
from ftpcli.records import FramePoses, Header, Pose
from ftpcli.skeleton import COCO17


class CocoSink(ImageListSink):
    """Writes COCO JSON.

    Standard fields as COCO has them; ids start at 1 (pycocotools takes annotation 0 for "no match"); ``area`` is
    that of the box. Beyond the standard: ``score``, ``track_id``, ``attributes`` (the same for annotation tools),
    ``keypoint_scores``, ``filled`` and ``keypoints_raw`` in annotations,
    ``frame_index``, ``pts``, ``seconds`` and ``video_id`` in images, ``sigmas`` in the category, source and run
    under ``info``.
    """

    skeleton = COCO17
    takes_all = True
    keeps = ("raw", "filled")

    def __init__(self, stream: Any, header: Header, options: WriteOptions) -> None:
        super().__init__(stream, header, options)
        self.names = PictureNames(header, options)
        self._size = picture_size(header)
        self._annotations = 0
        self.start(
            info=provenance(header) | {"visible_confidence": VISIBLE},
            licenses=[],
            videos=[{"id": 1, "name": self.names.folder, **self._size}],
            categories=[category(self.held)],
        )

    def annotation(self, frame: FramePoses, pose: Pose, number: int) -> dict[str, Any]:
        keypoints, confidence = self.order(pose)
        visibility = np.where(confidence >= VISIBLE, 2, np.where(confidence > 0, 1, 0)).tolist()
        bbox = rounded(box_xywh(pose.box, frame.index))
        flat = [item for (x, y), v in zip(rounded(keypoints).tolist(), visibility, strict=True) for item in (x, y, v)]
        self._annotations += 1
        beside = {}
        if (before := raw_pose(pose)) is not None:
            places, sure = self.order(before)
            beside["keypoints_raw"] = np.column_stack([rounded(places), sure]).ravel().tolist()
        return {
            "id": self._annotations,
            "image_id": frame.index + 1,
            "category_id": 1,
            "track_id": int(pose.track_id),
            "bbox": bbox.tolist(),
            "area": float(bbox[2] * bbox[3]),
            "iscrowd": 0,
            "num_keypoints": int(np.count_nonzero(visibility)),
            "keypoints": flat,
            "keypoint_scores": confidence.tolist(),
            "score": float(pose.score),
            # Annotation tools keep these and drop fields that they do not know. Nobody saw who was filled in.
            "attributes": {"track_id": int(pose.track_id), "score": float(pose.score), "occluded": pose.filled},
            **filled_mark(pose),
            **beside,
        }

    def image(self, index: int, frames: int) -> dict[str, Any]:
        return {"id": index + 1, "video_id": 1, "file_name": self.names(index), **self._size}
