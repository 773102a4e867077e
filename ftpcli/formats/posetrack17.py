"""PoseTrack17 JSON, the ``annolist`` form: its writer for predictions."""

from __future__ import annotations

import math

from ftpcli.errors import OutputError
from ftpcli.files.output import OutputStream
from ftpcli.formats.base import Sink, WriteOptions, box_xywh, dumps, rounded
from ftpcli.formats.image_sink import frame_times, provenance, source_name
from ftpcli.formats.joints import JointMap, skeleton_of
from ftpcli.formats.posetrack import track_ids
from ftpcli.records import FramePoses, Header
from ftpcli.skeleton import POSETRACK15


class PoseTrack17Sink(Sink):
    """Writes the 2017 form: every scalar in a list of one, joint ids 0 to 14, absent joints left out.

    Point scores are joint confidence times person score, since the evaluators ignore the person's. A person
    without a single joint is left out: there is nothing to evaluate. Beyond the form: ``bbox`` of people, times of
    frames, and source and run under ``info``.
    """

    skeleton = POSETRACK15

    def __init__(self, stream: OutputStream, header: Header, options: WriteOptions) -> None:
        super().__init__(stream, header, options)
        self._map = JointMap(skeleton_of(header.joints).joints, POSETRACK15.joints, head_stand_ins=True)
        self._name = source_name(header)
        self._first = True
        stream.write((dumps({"info": provenance(header)})[:-1] + ',"annolist":[').encode("ascii"))

    def write(self, frame: FramePoses) -> None:
        people = []
        for track, pose in zip(track_ids(frame), frame.poses, strict=True):
            if not math.isfinite(pose.score):
                raise OutputError(f"frame {frame.index}: a person's score is not a number")
            keypoints, confidence = self._map(pose)
            points = [
                {"id": [joint], "x": [x], "y": [y], "score": [c * float(pose.score)]}
                for joint, ((x, y), c) in enumerate(zip(rounded(keypoints).tolist(), confidence.tolist(), strict=True))
                if c > 0
            ]
            if points:
                people.append(
                    {
                        "track_id": [track],
                        "score": [float(pose.score)],
                        "bbox": rounded(box_xywh(pose.box, f"frame {frame.index}")).tolist(),
                        "annopoints": [{"point": points}],
                    }
                )
        # The pictures of 2017 count from 1, with eight digits.
        name = self.options.frame_name
        entry = {
            "image": [{"name": name(frame.index) if name else f"images/{self._name}/{frame.index + 1:08d}.jpg"}],
            "imgnum": [frame.index + 1],
            "is_labeled": [1],
            "annorect": people,
            **frame_times(frame.index, frame.pts, frame.seconds),
        }
        self.stream.write((("\n" if self._first else ",\n") + dumps(entry)).encode("ascii"))
        self._first = False

    def close(self, frames: int) -> None:
        self.stream.write(b"\n]}\n")


SINK = PoseTrack17Sink
