"""PoseTrack17 JSON, the ``annolist`` form: its writer for predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ftpcli.formats.base import Sink, WriteOptions, box_xywh, dumps, rounded
from ftpcli.formats.image_sink import frame_times, provenance
from ftpcli.formats.joints import JointMap
from ftpcli.formats.names import PictureNames, source_name
from ftpcli.formats.posetrack import SEQUENCE, track_ids
from ftpcli.records import FramePoses, Header
from ftpcli.skeleton import POSETRACK15


class PoseTrack17Sink(Sink):
    """Writes the 2017 form: every scalar in a list of one, joint ids 0 to 14, absent joints left out.

    Point scores are joint confidence times person score, since the evaluators ignore the person's. A person
    without a single joint is left out: there is nothing to evaluate. Beyond the form: the plain ``confidence`` of
    points, ``bbox`` of people, times of frames, and source and run under ``info``.
    """

    skeleton = POSETRACK15

    def __init__(self, stream: Any, header: Header, options: WriteOptions) -> None:
        super().__init__(stream, header, options)
        self.order = JointMap(self.own.joints, POSETRACK15.joints, head_stand_ins=True)
        self._names: Callable[[int], str] = PictureNames(header, options)
        if SEQUENCE.fullmatch(source_name(header)) and not options.frame_name:
            self._names = f"images/{source_name(header)}/{{:08d}}.jpg".format
        self._first_number = 0 if isinstance(self._names, PictureNames) else 1
        self.text(dumps({"info": provenance(header)})[:-1] + ',"annolist":[')

    def write(self, frame: FramePoses) -> None:
        people = []
        for track, pose in zip(track_ids(frame), frame.poses, strict=True):
            keypoints, confidence = self.order(pose)
            points = [
                {"id": [joint], "x": [x], "y": [y], "score": [c * float(pose.score)], "confidence": [c]}
                for joint, ((x, y), c) in enumerate(zip(rounded(keypoints).tolist(), confidence.tolist(), strict=True))
                if c > 0
            ]
            if points:
                people.append(
                    {
                        "track_id": [track],
                        "score": [float(pose.score)],
                        "bbox": rounded(box_xywh(pose.box, frame.index)).tolist(),
                        "annopoints": [{"point": points}],
                    }
                )
            else:
                self.left_out["people without a joint"] += 1
        entry = {
            "image": [{"name": self._names(frame.index + self._first_number)}],
            "imgnum": [frame.index + 1],
            "is_labeled": [1],
            "annorect": people,
            **frame_times(frame),
        }
        self.entry(entry)

    def close(self, frames: int) -> None:
        self.text("\n]}\n")
