"""Frames kept on disk until the last has come, for forms that must know all tracks before their first line."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator

import numpy as np

from ftpcli.files.output import write_error
from ftpcli.formats.base import Sink, WriteOptions
from ftpcli.formats.joints import JointMap, skeleton_of
from ftpcli.records import FramePoses, Header, Pose

_FRAME, _PERSON = struct.Struct("<qqdI"), struct.Struct("<qd?I")


class SpooledSink(Sink):
    """Keeps frames until ``close``.

    Attributes:
        tracks: how many frames there are of each person.
        own: the skeleton of the poses.
        order: gives keypoints and confidence of a pose as a file can hold them.
    """

    def __init__(self, stream: object, header: Header, options: WriteOptions) -> None:
        super().__init__(stream, header, options)
        self._spool = tempfile.SpooledTemporaryFile(max_size=16 << 20)  # noqa: SIM115 (closed by release())
        self.tracks: dict[int, int] = {}
        self.own = skeleton_of(header.joints)
        self.order = JointMap(self.own.joints, self.own.joints)

    def write(self, frame: FramePoses) -> None:
        parts = [_FRAME.pack(frame.index, frame.pts, frame.seconds, len(frame.poses))]
        for pose in frame.poses:
            numbers = np.concatenate([pose.box, np.ravel(pose.keypoints), pose.confidence]).astype("<f8")
            parts += [_PERSON.pack(pose.track_id, pose.score, pose.filled, len(pose.confidence)), numbers.tobytes()]
            self.tracks[pose.track_id] = self.tracks.get(pose.track_id, 0) + 1
        try:
            self._spool.write(b"".join(parts))
        except OSError as error:
            raise write_error(tempfile.gettempdir(), error) from error

    def spooled(self) -> Iterator[FramePoses]:
        """The frames that were written."""
        self._spool.seek(0)
        while data := self._spool.read(_FRAME.size):
            index, pts, seconds, people = _FRAME.unpack(data)
            yield FramePoses(index, pts, seconds, tuple(self._pose() for _ in range(people)))

    def _pose(self) -> Pose:
        track, score, filled, joints = _PERSON.unpack(self._spool.read(_PERSON.size))
        numbers = np.frombuffer(self._spool.read((4 + 3 * joints) * 8), "<f8")
        points = numbers[4 : 4 + 2 * joints].reshape(joints, 2)
        return Pose(track, numbers[:4], score, points, numbers[4 + 2 * joints :], filled)

    def release(self) -> None:
        self._spool.close()
