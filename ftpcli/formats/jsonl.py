"""Writes the native form, JSON Lines: a header, then one record per frame. ``ftpcli.datasets.native`` reads it.

Coordinates in finished files are rounded to a thousandth of a pixel. Everything else, scores and confidences
above all, keeps its full precision: equal scores make evaluations depend on chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ftpcli.datasets.header import encode_run, encode_source
from ftpcli.datasets.native import NAME, VERSION
from ftpcli.errors import OutputError
from ftpcli.files import checked_json as checks
from ftpcli.formats.base import (
    Sink,
    WriteOptions,
    box_xywh,
    dumps,
    filled_mark,
    rounded,
    seconds_value,
)
from ftpcli.formats.joints import edge_names, located, raw_pose, skeleton_of
from ftpcli.records import FramePoses, Header, Pose

# Room at the end of the header line for the number of records, written when it is known.
_PLACES = 12


def encode_header(header: Header, **extra: Any) -> dict[str, Any]:
    """The header object. Raises OutputError on joints that no file may hold."""
    skeleton = skeleton_of(header.joints)
    return {
        "format": NAME,
        "format_version": VERSION,
        "joints": list(header.joints),
        "skeleton": edge_names(skeleton),
        "sigmas": skeleton.sigmas.tolist(),
        "source": encode_source(header.source),
        "run": encode_run(header.run),
        **extra,
    }


def encode_record(frame: FramePoses, joints: int, *, exact: bool = False) -> dict[str, Any]:
    """A record of one frame.

    Args:
        joints: how many joints every pose must have.
        exact: keep all digits of the coordinates, and the box as corners ("box" instead of "bbox").

    Raises:
        OutputError: a box or score is not a number, or the number of joints is another.
    """
    index = int(frame.index)
    if len(frame.poses) > checks.MAX_PEOPLE:
        raise OutputError(f"{len(frame.poses):,} people, more than the {checks.MAX_PEOPLE:,} a record may hold", index)
    for pose in frame.poses:
        if np.shape(pose.box) != (4,):
            raise OutputError("a person's box has not four numbers", index)
        if not math.isfinite(pose.score):
            raise OutputError("a person's score is not a number; this is a fault of the program", index)
    boxes = np.array([pose.box for pose in frame.poses], np.float64).reshape(-1, 4)
    xywh = box_xywh(boxes, index)
    # Corners, since x + (x2 - x) is not always x2.
    key, places = ("box", boxes) if exact else ("bbox", rounded(xywh))
    tables = _tables(frame.poses, joints, exact, index)
    people: list[dict[str, Any]] = []
    for pose, box, table in zip(frame.poses, places.tolist(), tables, strict=True):
        person = {"track_id": int(pose.track_id), key: box, "score": float(pose.score), **filled_mark(pose)}
        people.append({**person, "keypoints": table})
        if (before := raw_pose(pose)) is not None:
            people[-1]["keypoints_raw"] = _tables([before], joints, exact, index)[0]
    return {
        "index": index,
        "pts": int(frame.pts),
        "seconds": seconds_value(frame.seconds),
        "people": people,
    }


def _tables(poses: Sequence[Pose], joints: int, exact: bool, index: int) -> list[list[list[float]]]:
    """x, y and confidence of each pose's joints, those that are not located as zeros (see ``located``).

    Raises:
        OutputError: a pose has another number of joints; ``index`` is its frame.
    """
    tables = np.empty((len(poses), joints, 3))
    for table, pose in zip(tables, poses, strict=True):
        if np.shape(pose.keypoints) != (joints, 2) or np.shape(pose.confidence) != (joints,):
            raise OutputError(f"a pose has {len(pose.keypoints)} joints, the header names {joints}", index)
        table[:, :2], table[:, 2] = pose.keypoints, pose.confidence
    points, confidence = located(tables[..., :2], tables[..., 2])
    tables = np.concatenate([points if exact else rounded(points), confidence[..., None]], axis=-1)
    result: list[list[list[float]]] = tables.tolist()
    return result


class NativeSink(Sink):
    """Writes finished JSON Lines. The header's ``records`` tells readers whether the file is whole."""

    suffix = ".jsonl"
    takes_all = True
    keeps = ("raw", "filled")

    def __init__(self, stream: Any, header: Header, options: WriteOptions) -> None:
        super().__init__(stream, header, options)
        self._room = len(dumps(encode_header(header, records=0))) - 1 + _PLACES
        stream.write(b" " * self._room + b"\n")

    def write(self, frame: FramePoses) -> None:
        self.text(dumps(encode_record(frame, len(self.header.joints))) + "\n")

    def close(self, frames: int) -> None:
        line = dumps(encode_header(self.header, records=frames))
        self.stream.rewrite_start(line.ljust(self._room).encode("ascii"))
