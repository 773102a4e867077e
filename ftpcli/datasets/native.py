"""Reads the native form, JSON Lines: a header, then one record per frame."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

import numpy as np

from ftpcli.datasets.base import PosesReader
from ftpcli.datasets.boxes import POSETRACK2018, box_of_joints
from ftpcli.datasets.header import decode_run, decode_source
from ftpcli.datasets.left_out import EMPTY, LeftOut
from ftpcli.errors import InputError
from ftpcli.files import checked_json as checks
from ftpcli.records import FramePoses, Header, Pose

NAME = "ftp-poses"
VERSION = 1


def decode_header(text: str, where: str, name: str = NAME) -> tuple[Header, dict[str, Any]]:
    """A header line as Header, and as the object it is.

    Raises:
        InputError: not a header of this format, or of a newer version of it.
    """
    value = checks.parse(text, where)
    if not isinstance(value, dict) or value.get("format") != name:
        raise InputError(f'{where}: not a header ({{"format": "{name}", ...}}), so not a file of ours')
    checks.shallow(value, where)
    version = checks.integer(checks.field(value, "format_version", where), "'format_version'", where)
    if version != VERSION:
        raise InputError(f"{where}: format version {version}; this program knows {VERSION}, use the one that wrote it")
    joints = checks.joint_names(checks.field(value, "joints", where), where)
    source = decode_source(checks.field(value, "source", where), where)
    return Header(joints, source, decode_run(value.get("run"))), value


def decode_record(
    value: Any, joints: int, where: str, after: int, *, exact: bool = False, left_out: LeftOut | None = None
) -> FramePoses:
    """A record as FramePoses.

    Args:
        after: index of the record before; this one's must be higher.
        exact: the record was encoded so.
        left_out: notes people without box and joints; boxes that are missing or empty are drawn around the joints.

    Raises:
        InputError: anything that a record may not be.
    """
    record = checks.as_object(value, "a record", where)
    index = checks.integer(checks.field(record, "index", where), "'index'", where)
    if index <= after:
        what = "stands twice" if index == after else f"comes after frame {after}"
        raise InputError(f"{where}: frame {index} {what}; each frame stands once, by rising index")
    pts = checks.integer(checks.field(record, "pts", where), "'pts'", where, low=-checks.MAX_INTEGER)
    seconds = checks.field(record, "seconds", where)
    seconds = math.nan if seconds is None else checks.number(seconds, "'seconds'", where)
    people = checks.as_list(checks.field(record, "people", where), "'people'", where, checks.MAX_PEOPLE)
    poses = tuple(pose for one in people if (pose := _decode_person(one, joints, where, exact, left_out)) is not None)
    checks.refuse_twice([pose.track_id for pose in poses], index, where)
    return FramePoses(index, pts, seconds, poses)


def _decode_person(value: Any, joints: int, where: str, exact: bool, left_out: LeftOut | None) -> Pose | None:
    person = checks.as_object(value, "a person", where)
    track = checks.integer(checks.field(person, "track_id", where), "'track_id'", where, low=-checks.MAX_INTEGER)
    score = checks.number(checks.field(person, "score", where), "'score'", where)
    table = _decode_joints(checks.field(person, "keypoints", where), joints, where)
    box: np.ndarray | None
    if exact:
        box = checks.numbers(checks.field(person, "box", where), "'box'", where, 4)
    else:
        box = checks.box(person["bbox"], where) if person.get("bbox") else None
        if box is None or box[2] <= box[0] or box[3] <= box[1]:
            box = box_of_joints(table[table[:, 2] > 0, :2], POSETRACK2018)
        if box is None:
            if left_out is not None:
                left_out.add(EMPTY)
            return None
    raw = _decode_joints(person["keypoints_raw"], joints, where) if "keypoints_raw" in person else None
    return Pose(track, box, score, table[:, :2].copy(), table[:, 2].copy(), person.get("filled") is True, raw)


def _decode_joints(value: Any, joints: int, where: str) -> np.ndarray:
    """(K, 3) x, y, confidence."""
    rows = checks.as_list(value, "'keypoints'", where)
    if len(rows) != joints:
        raise InputError(f"{where}: a person has {len(rows)} keypoints, the header names {joints}")
    flat: list[Any] = []
    for row in rows:
        if not isinstance(row, list) or len(row) != 3:
            raise InputError(f"{where}: a keypoint should be [x, y, confidence], not {checks.shown(row)}")
        flat += row
    return checks.numbers(flat, "'keypoints'", where).reshape(joints, 3)


class Lines:
    """Numbered lines of a file, none longer than MAX_ELEMENT bytes."""

    def __init__(self, handle: BinaryIO, path: str, number: int = 0) -> None:
        self._handle = handle
        self._path = path
        self.number = number

    @property
    def where(self) -> str:
        return f"{self._path}, line {self.number}"

    def next(self) -> bytes | None:
        """The next line with its end, None at the end of the file. Raises InputError."""
        self.number += 1
        try:
            line = self._handle.readline(checks.MAX_ELEMENT)
        except OSError as error:
            raise checks.unreadable(self._path, error) from error
        if len(line) >= checks.MAX_ELEMENT:
            raise InputError(f"{self.where}: longer than {checks.MAX_ELEMENT >> 20} MB, so not a poses file")
        return line or None

    def text(self, line: bytes) -> str:
        """A line as text. Raises InputError where it is cut or not UTF-8."""
        try:
            return line.decode("utf-8-sig" if self.number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise checks.unreadable(self._path, error, self.where) from None


class NativeReader(PosesReader):
    """Streams JSON Lines; memory holds one record."""

    format = "jsonl"

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._handle = open(path, "rb")  # noqa: SIM115 (closed by close())
        except OSError as error:
            raise checks.unreadable(path, error) from error
        self._left_out = LeftOut("person", "people")
        try:
            lines = Lines(self._handle, path)
            line = lines.next()
            if line is None:
                raise InputError(f"{path}: is empty")
            self.header, value = decode_header(lines.text(line), lines.where)
            records = value.get("records")
            self.records = None if records is None else checks.integer(records, "'records'", lines.where)
            self._start = self._handle.tell()
            self.timed = all(not math.isnan(frame.seconds) for frame in islice(self, 1))
        except BaseException:
            self.close()
            raise

    @property
    def warnings(self) -> list[str]:  # type: ignore[override]
        """Whole once the frames have been read."""
        return self._left_out.lines()

    def __iter__(self) -> Iterator[FramePoses]:
        self._handle.seek(self._start, io.SEEK_SET)
        lines = Lines(self._handle, self.path, 1)
        count, index, people = 0, -1, 0
        self._left_out.counts.clear()
        while (line := lines.next()) is not None:
            if not line.strip():
                continue
            try:
                value = checks.parse(lines.text(line), lines.where)
            except InputError:
                if not line.endswith(b"\n"):
                    raise InputError(f"{lines.where}: the file ends in mid-line, so its end is missing") from None
                raise
            frame = decode_record(value, len(self.header.joints), lines.where, index, left_out=self._left_out)
            count, index, people = count + 1, frame.index, people + len(frame.poses)
            yield frame
        if self.records is not None and count != self.records:
            raise InputError(f"{self.path}: holds {count} of its {self.records} frames; the rest is missing")
        if self._left_out.counts and not people:
            raise InputError(f"{self.path}: no person is left{self._left_out.why()}")

    def close(self) -> None:
        self._handle.close()
