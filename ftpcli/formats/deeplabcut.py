"""DeepLabCut CSV of a multi-animal project: four header rows, then a row a frame."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ftpcli.formats.csv import cell
from ftpcli.formats.spool import SpooledSink


class DeepLabCutSink(SpooledSink):
    """Individuals are called ``id1`` and so on by their track ids; what was not located is empty."""

    suffix = ".csv"
    takes_all = True
    lacks = "boxes, people's scores and times"
    people_only = True

    def close(self, frames: int) -> None:
        columns = self.columns()
        rows = [["scorer", *["ftp"] * len(columns)]]
        rows += [[title, *(column[n] for column in columns)] for n, title in enumerate(TITLES)]
        for row in rows:
            self.row(row)
        for index, values in self.rows():
            joints = values.reshape(-1, len(_VALUES)).tolist()
            cells = [(cell(x), cell(y), repr(c) if c > 0 else cell(c)) for x, y, c in joints]
            self.row([str(index), *(text for joint in cells for text in joint)])

    def columns(self) -> list[tuple[str, str, str]]:
        """Individual, body part and coordinate."""
        parts = [(part, value) for part in self.own.joints for value in _VALUES]
        return [(f"id{track}", *part) for track in sorted(self.tracks) for part in parts]

    def rows(self) -> Iterator[tuple[int, np.ndarray]]:
        """Frames, each with a value for every column, NaN where there is none."""
        place = {track: n for n, track in enumerate(sorted(self.tracks))}
        for frame in self.spooled:
            table = np.full((len(place), len(self.own.joints), len(_VALUES)), np.nan)
            for pose in frame.poses:
                keypoints, confidence = self.order(pose)
                points = np.where(confidence[:, None] > 0, keypoints, np.nan)
                table[place[pose.track_id]] = np.column_stack([points, confidence])
            yield frame.index, table.ravel()


TITLES = ("individuals", "bodyparts", "coords")
_VALUES = ("x", "y", "likelihood")
