"""TRC: markers over time, as OpenSim, Pose2Sim and Sports2D read them."""

from __future__ import annotations

from ftpcli.formats.base import needed_seconds
from ftpcli.formats.csv import cell
from ftpcli.formats.names import source_name
from ftpcli.formats.spool import SpooledSink


class TrcSink(SpooledSink):
    """Writes pixels (y runs down, z is 0) at the source's own times; what was not located is empty.

    Markers are called like the joints; with several people, each begins with the person's id: ``3_nose``. Frame# is
    the frame's index + 1. The rates in the header are means; the column Time holds the truth.
    """

    suffix = ".trc"
    takes_all = True
    lacks = "boxes, scores and confidences"
    people_only = True

    def close(self, frames: int) -> None:
        joints = self.own.joints
        tracks = sorted(self.tracks)
        names = [f"{track}_{joint}" if len(tracks) > 1 else joint for track in tracks for joint in joints]
        head = f"PathFileType\t4\t(X/Y/Z)\t{source_name(self.header)}.trc\n"
        head += "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames\n"
        rate = cell(self._rate(frames), 6)
        head += f"{rate}\t{rate}\t{frames}\t{len(names)}\tpx\t{rate}\t1\t{frames}\n"
        head += "Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t\n"
        head += "\t\t" + "\t".join(f"X{n}\tY{n}\tZ{n}" for n in range(1, len(names) + 1)) + "\n"
        self.stream.write(head.encode("utf-8"))
        for frame in self.spooled:
            row = [str(frame.index + 1), repr(needed_seconds(frame, "TRC"))]
            people = {pose.track_id: pose for pose in frame.poses}
            for track in tracks:
                cells = ["\t\t"] * len(joints)
                if track in people:
                    keypoints, confidence = self.order(people[track])
                    for n in confidence.nonzero()[0].tolist():
                        cells[n] = f"{cell(keypoints[n, 0])}\t{cell(keypoints[n, 1])}\t0"
                row += cells
            self.text("\t".join(row) + "\n")

    def _rate(self, frames: int) -> float:
        """Frames a second: the source's, else the mean."""
        if self.header.source.average_rate:
            return float(self.header.source.average_rate)
        times = [frame.seconds for frame in self.spooled]
        return (frames - 1) / (times[-1] - times[0]) if frames > 1 and times[-1] > times[0] else 1.0
