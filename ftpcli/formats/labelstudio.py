"""Label Studio JSON: a task a picture, people and joints as predictions to be corrected."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from ftpcli.formats.base import ListSink, WriteOptions, box_xywh, needed_size
from ftpcli.formats.image_sink import frame_times
from ftpcli.formats.names import PictureNames
from ftpcli.records import FramePoses, Header

#: Where Label Studio serves pictures of its local storage; the folder of --frames is to be its document root.
LOCAL = "/data/local-files/?d="


class LabelStudioSink(ListSink):
    """Writes tasks with one prediction each: a rectangle a person, whose ``meta`` holds the track id, and a keypoint a
    located joint, whose parent is the rectangle. Places are percent of the picture, as Label Studio has them.

    ``data`` holds ``image`` and, for our reader, ``frame_index``, ``pts`` and ``seconds``.
    """

    takes_all = True

    def __init__(self, stream: Any, header: Header, options: WriteOptions) -> None:
        super().__init__(stream, header, options)
        self._names = PictureNames(header, options)
        self._size = needed_size(header, "Label Studio needs")

    def write(self, frame: FramePoses) -> None:
        results: list[dict[str, Any]] = []
        for pose in frame.poses:
            results += self._person(frame, pose)
        task = {
            "data": {"image": LOCAL + quote(self._names(frame.index))} | frame_times(frame),
            "predictions": [{"model_version": f"ftp {self.header.run.version or ''}".strip(), "result": results}],
        }
        self.entry(task)

    def _person(self, frame: FramePoses, pose: Any) -> list[dict[str, Any]]:
        width, height = self._size
        common = {"to_name": "image", "original_width": width, "original_height": height, "image_rotation": 0}
        x, y, w, h = box_xywh(pose.box, frame.index).tolist()
        person = f"{frame.index}-{pose.track_id}"
        corner = {"x": 100 * x / width, "y": 100 * y / height, "width": 100 * w / width, "height": 100 * h / height}
        box = common | {
            "id": person,
            "type": "rectanglelabels",
            "from_name": "person",
            "value": corner | {"rotation": 0, "rectanglelabels": ["person"]},
            "score": float(pose.score),
            "meta": {"text": [f"track {pose.track_id}"]},
        }
        keypoints, confidence = self.order(pose)
        rows = zip(self.header.joints, keypoints.tolist(), confidence.tolist(), strict=True)
        return [box] + [
            common
            | {
                "id": f"{person}-{joint}",
                "parentID": person,
                "type": "keypointlabels",
                "from_name": "joint",
                "value": {"x": 100 * px / width, "y": 100 * py / height, "width": 0.5, "keypointlabels": [joint]},
                "score": c,
            }
            for joint, (px, py), c in rows
            if c > 0
        ]
