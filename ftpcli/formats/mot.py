"""MOTChallenge text: frame from 1, id, left, top, width, height, confidence, and three numbers that say nothing."""

from __future__ import annotations

from typing import Any

from ftpcli.files.inputs import IMAGE_SUFFIXES
from ftpcli.formats.base import Sink, WriteOptions, box_xywh
from ftpcli.formats.csv import cell
from ftpcli.records import FramePoses, Header


class MotSink(Sink):
    """Writes boxes; ``ftpcli.datasets.mot`` reads them."""

    suffix = ".txt"
    lacks = "joints and times"

    def __init__(self, stream: Any, header: Header, options: WriteOptions) -> None:
        super().__init__(stream, header, options)
        # Pictures of a folder are counted with those that cannot be decoded, as everybody else counts them. A folder's
        # clock ticks once a picture.
        source = header.source
        tick = source.time_base and source.average_rate and source.time_base * source.average_rate
        self._pictures = tick == 1 and f".{source.codec}" in IMAGE_SUFFIXES

    def write(self, frame: FramePoses) -> None:
        if not frame.poses:
            self.left_out["frames without people"] += 1
        number = frame.pts if self._pictures else frame.index
        for pose in frame.poses:
            box = box_xywh(pose.box, frame.index).tolist()
            if pose.track_id < 0 or min(box[2:]) < 0.001:
                self.left_out["people with a negative id or an empty box"] += 1
                continue
            row = [str(number + 1), str(pose.track_id), *map(cell, box), repr(float(pose.score)), "-1,-1,-1"]
            self.row(row)
