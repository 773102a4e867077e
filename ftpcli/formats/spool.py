"""Frames kept on disk until the last has come, for forms that must know all tracks before their first line."""

from __future__ import annotations

import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from ftpcli.files.output import write_error
from ftpcli.formats.base import Sink, WriteOptions
from ftpcli.formats.joints import JointMap, skeleton_of
from ftpcli.records import FramePoses, Header, Pose

_FRAME, _PERSON = struct.Struct("<qqdI"), struct.Struct("<qd?I")


class FrameSpool:
    """Frames in a temporary file. A context manager; iterating gives them as they were added."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=16 << 20)  # noqa: SIM115 (closed by close())

    def add(self, frame: FramePoses) -> None:
        """Raises OutputError where there is no room."""
        parts = [_FRAME.pack(frame.index, frame.pts, frame.seconds, len(frame.poses))]
        for pose in frame.poses:
            numbers = np.concatenate([pose.box, np.ravel(pose.keypoints), pose.confidence]).astype("<f8")
            parts += [_PERSON.pack(pose.track_id, pose.score, pose.filled, len(pose.confidence)), numbers.tobytes()]
        try:
            self._file.write(b"".join(parts))
        except OSError as error:
            raise write_error(tempfile.gettempdir(), error) from error

    def __iter__(self) -> Iterator[FramePoses]:
        self._file.seek(0)
        while data := self._file.read(_FRAME.size):
            index, pts, seconds, people = _FRAME.unpack(data)
            yield FramePoses(index, pts, seconds, tuple(self._pose() for _ in range(people)))

    def _pose(self) -> Pose:
        track, score, filled, joints = _PERSON.unpack(self._file.read(_PERSON.size))
        numbers = np.frombuffer(self._file.read((4 + 3 * joints) * 8), "<f8")
        points = numbers[4 : 4 + 2 * joints].reshape(joints, 2)
        return Pose(track, numbers[:4], score, points, numbers[4 + 2 * joints :], filled)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SpooledSink(Sink):
    """Keeps frames until ``close``.

    Attributes:
        spooled: the frames.
        tracks: how many frames there are of each person.
        own: the skeleton of the poses.
        order: gives keypoints and confidence of a pose as a file can hold them.
    """

    def __init__(self, stream: object, header: Header, options: WriteOptions) -> None:
        super().__init__(stream, header, options)
        self.own = skeleton_of(header.joints)
        self.order = JointMap(self.own.joints, self.own.joints)
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
