"""MOTChallenge text: frame from 1, id, left, top, width, height, confidence, and three numbers that say nothing."""

from __future__ import annotations

from ftpcli.formats.base import Sink, box_xywh
from ftpcli.formats.csv import cell
from ftpcli.records import FramePoses


class MotSink(Sink):
    """Writes boxes; ``ftpcli.datasets.mot`` reads them."""

    suffix = ".txt"
    lacks = "joints and times"

    def write(self, frame: FramePoses) -> None:
        if not frame.poses:
            self.left_out["frames without people"] += 1
        # Pictures of a folder are counted with those that cannot be decoded, as everybody else counts them.
        number = frame.pts if self.options.frame_name else frame.index
        for pose in frame.poses:
            box = box_xywh(pose.box, frame.index).tolist()
            if pose.track_id < 0 or min(box[2:]) < 0.001:
                self.left_out["people with a negative id or an empty box"] += 1
                continue
            row = [str(number + 1), str(pose.track_id), *map(cell, box), repr(float(pose.score)), "-1,-1,-1"]
            self.row(row)
