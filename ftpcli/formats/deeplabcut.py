"""DeepLabCut CSV of a multi-animal project: four header rows, then a row a frame."""

from __future__ import annotations

from ftpcli.formats.csv import cell
from ftpcli.formats.spool import SpooledSink


class DeepLabCutSink(SpooledSink):
    """Individuals are called ``id1`` and so on by their track ids; what was not located is empty."""

    suffix = ".csv"
    takes_all = True
    lacks = "boxes, people's scores and times"

    def close(self, frames: int) -> None:
        joints = self.own.joints
        tracks = sorted(self.tracks)
        columns = [(f"id{track}", joint, value) for track in tracks for joint in joints for value in _VALUES]
        rows = [["scorer", *["ftp"] * len(columns)]]
        rows += [[title, *(column[n] for column in columns)] for n, title in enumerate(_TITLES)]
        for row in rows:
            self._row(row)
        absent = [""] * len(joints) * len(_VALUES)
        for frame in self.spooled:
            people = {pose.track_id: pose for pose in frame.poses}
            row = [str(frame.index)]
            for track in tracks:
                if track not in people:
                    row += absent
                    continue
                keypoints, confidence = self.order(people[track])
                for (x, y), c in zip(keypoints.tolist(), confidence.tolist(), strict=True):
                    row += [cell(x), cell(y), repr(c)] if c > 0 else ["", "", "0"]
            self._row(row)

    def _row(self, cells: list[str]) -> None:
        self.stream.write((",".join(cells) + "\n").encode("ascii"))


_TITLES = ("individuals", "bodyparts", "coords")
_VALUES = ("x", "y", "likelihood")
SINK = DeepLabCutSink
