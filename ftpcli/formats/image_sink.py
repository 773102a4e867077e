"""What COCO and PoseTrack18 files share: one document with annotations first and the list of images last.

Images come last because some of their fields (``nframes``) are known only at the end; until then their numbers
wait in a spool, so that memory does not grow with the video.
"""

from __future__ import annotations

import struct
import tempfile
from abc import abstractmethod
from typing import Any

from ftpcli.datasets.header import encode_run, encode_source
from ftpcli.files.output import writing
from ftpcli.formats.base import Sink, WriteOptions, dumps, seconds_value
from ftpcli.records import FramePoses, Header, Pose

_ENTRY = struct.Struct("<qqd")


def picture_size(header: Header) -> dict[str, int]:
    """The fields of an image's size, as far as it is known."""
    size = {"width": header.source.width, "height": header.source.height}
    return {name: value for name, value in size.items() if value is not None}


def frame_times(index: int, pts: int, seconds: float) -> dict[str, Any]:
    """The fields by which our own readers find a frame's time again."""
    return {"frame_index": index, "pts": pts, "seconds": seconds_value(seconds)}


def provenance(header: Header) -> dict[str, Any]:
    """Source and run, as every document of ours holds them under ``info``."""
    return {
        "description": f"poses of {header.source.path or 'a video'}",
        "version": header.run.version or "",
        "source": encode_source(header.source),
        "run": encode_run(header.run),
    }


class ImageListSink(Sink):
    """Streams a document with ``annotations`` and ``images``. Subclasses say what stands in them."""

    def __init__(self, stream: Any, header: Header, options: WriteOptions) -> None:
        super().__init__(stream, header, options)
        self._spool = tempfile.SpooledTemporaryFile(max_size=1 << 20)  # noqa: SIM115 (closed by release())

    def start(self, **root: Any) -> None:
        """Write the root fields that come first."""
        self.text(dumps(root)[:-1] + ',"annotations":[')

    def write(self, frame: FramePoses) -> None:
        with writing(tempfile.gettempdir()):
            self._spool.write(_ENTRY.pack(frame.index, frame.pts, frame.seconds))
        for number, pose in enumerate(frame.poses):
            self.entry(self.annotation(frame, pose, number))

    def close(self, frames: int) -> None:
        self.text('\n],"images":[')
        self._begun = False
        self._spool.seek(0)
        while data := self._spool.read(_ENTRY.size):
            index, pts, seconds = _ENTRY.unpack(data)
            self.entry(self.image(index, frames) | frame_times(index, pts, seconds))
        self.text("\n]}\n")

    def release(self) -> None:
        self._spool.close()

    @abstractmethod
    def annotation(self, frame: FramePoses, pose: Pose, number: int) -> dict[str, Any]:
        """The entry of the ``number``-th person (from 0) of a frame."""

    @abstractmethod
    def image(self, index: int, frames: int) -> dict[str, Any]:
        """The entry of a frame; ``frames`` is how many there are in all."""
