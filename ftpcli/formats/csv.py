"""CSV: one row a frame, person and joint. ``csv_wide`` has one row a frame and person."""

from __future__ import annotations

import math
from typing import Any

from ftpcli.formats.base import DECIMALS, Sink, WriteOptions, box_xywh
from ftpcli.records import FramePoses, Header
from ftpcli.skeleton import ANGLES, joint_angles

_ANGLES = ("angle", "trunk_angle")


def cell(value: float, decimals: int = DECIMALS) -> str:
    """A number of a table without needless zeros; empty where it is not one."""
    if not math.isfinite(value):
        return ""
    return f"{round(value, decimals) + 0.0:.{decimals}f}".rstrip("0").rstrip(".")


class CsvSink(Sink):
    """Writes tidy rows; a joint that was not located has an empty x and y, and confidence 0."""

    suffix = ".csv"
    takes_all = True
    lacks = "boxes and people's scores"

    def __init__(self, stream: Any, header: Header, options: WriteOptions) -> None:
        super().__init__(stream, header, options)
        self.row(self.columns())

    def columns(self) -> list[str]:
        return ["frame", "seconds", "track", "joint", "x", "y", "confidence", *(_ANGLES if self.options.angles else ())]

    def write(self, frame: FramePoses) -> None:
        if not frame.poses:
            self.left_out["frames without people"] += 1
        start = [str(frame.index), "" if math.isnan(frame.seconds) else repr(float(frame.seconds))]
        for pose in frame.poses:
            keypoints, confidence = self.order(pose)
            joints = [
                [cell(x) if c > 0 else "", cell(y) if c > 0 else "", repr(c)]
                for (x, y), c in zip(keypoints.tolist(), confidence.tolist(), strict=True)
            ]
            box = [cell(value) for value in box_xywh(pose.box, frame.index).tolist()]
            angles: dict[str, str] = {}
            if self.options.angles:
                angles = dict(
                    zip(ANGLES, map(cell, joint_angles(self.header.joints, keypoints, confidence)), strict=True)
                )
            self.rows([*start, str(pose.track_id)], [*box, repr(float(pose.score))], joints, angles)

    def rows(self, start: list[str], person: list[str], joints: list[list[str]], angles: dict[str, str]) -> None:
        """Write a person. An angle stands with its joint, the trunk's with every joint of the person."""
        for name, joint in zip(self.header.joints, joints, strict=True):
            self.row([*start, name, *joint, *([angles.get(name, ""), angles["trunk"]] if angles else ())])


class CsvWideSink(CsvSink):
    """Columns ``NAME_x``, ``NAME_y`` and ``NAME_confidence`` for every joint, after the person's box and score."""

    lacks = ""

    def columns(self) -> list[str]:
        names = [f"{joint}_{value}" for joint in self.header.joints for value in ("x", "y", "confidence")]
        angles = [f"{name}_angle" for name in ANGLES] if self.options.angles else []
        return ["frame", "seconds", "track", "box_x", "box_y", "box_width", "box_height", "score", *names, *angles]

    def rows(self, start: list[str], person: list[str], joints: list[list[str]], angles: dict[str, str]) -> None:
        self.row([*start, *person, *(value for joint in joints for value in joint), *angles.values()])
