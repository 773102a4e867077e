"""Frames kept on disk until the last has come, for forms that must know all tracks before their first line."""

from __future__ import annotations

import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np

from ftpcli.files.output import writing
from ftpcli.formats.base import Sink, WriteOptions
from ftpcli.records import FramePoses, Header, Pose

_FRAME, _PERSON = struct.Struct("<qqdI"), struct.Struct("<qd??I")


class FrameSpool:
    """Frames in a temporary file. A context manager; iterating gives them as they were added."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=16 << 20)  # noqa: SIM115 (closed by close())

    def add(self, frame: FramePoses) -> None:
        """Raises OutputError where there is no room."""
        parts = [_FRAME.pack(frame.index, frame.pts, frame.seconds, len(frame.poses))]
        for pose in frame.poses:
            raw = () if pose.raw is None else np.ravel(pose.raw)
            numbers = np.concatenate([pose.box, np.ravel(pose.keypoints), pose.confidence, raw]).astype("<f8")
            head = pose.track_id, pose.score, pose.filled, pose.raw is not None, len(pose.confidence)
            parts += [_PERSON.pack(*head), numbers.tobytes()]
        with writing(tempfile.gettempdir()):
            self._file.write(b"".join(parts))

    def __iter__(self) -> Iterator[FramePoses]:
        self._file.seek(0)
        while data := self._file.read(_FRAME.size):
            index, pts, seconds, people = _FRAME.unpack(data)
            yield FramePoses(index, pts, seconds, tuple(self._pose() for _ in range(people)))

    def _pose(self) -> Pose:
        track, score, filled, beside, joints = _PERSON.unpack(self._file.read(_PERSON.size))
        numbers = np.frombuffer(self._file.read((4 + (6 if beside else 3) * joints) * 8), "<f8")
        box, points, confidence, raw = np.split(numbers, (4, 4 + 2 * joints, 4 + 3 * joints))
        raw_table = raw.reshape(joints, 3) if beside else None
        return Pose(track, box, score, points.reshape(joints, 2), confidence, filled, raw_table)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SpooledSink(Sink):
    """Keeps frames until ``close``.

    Attributes:
        spooled: the frames.
        tracks: how many frames there are of each person.
    """

    def __init__(self, stream: object, header: Header, options: WriteOptions) -> None:
        super().__init__(stream, header, options)
        self.tracks: dict[int, int] = {}
        self.spooled = FrameSpool()

    def write(self, frame: FramePoses) -> None:
        self.spooled.add(frame)
        for pose in frame.poses:
            self.tracks[pose.track_id] = self.tracks.get(pose.track_id, 0) + 1

    def release(self) -> None:
        self.spooled.close()


def copy_from(stream: Any, suffix: str, save: Callable[[str], object]) -> None:
    """Write to a stream what a library saves under the name that it is given."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"poses{suffix}")
        save(str(path))
        with open(path, "rb") as file:
            shutil.copyfileobj(file, stream)
