"""What COCO and PoseTrack18 files share: one document with annotations first and the list of images last.

Images come last because some of their fields (``nframes``) are known only at the end; until then their numbers
wait in a spool, so that memory does not grow with the video.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any

from ftpcli.datasets.header import encode_run, encode_source
from ftpcli.formats.base import Sink, WriteOptions, dumps, seconds_value
from ftpcli.formats.spool import FrameSpool
from ftpcli.records import FramePoses, Header, Pose


def picture_size(header: Header) -> dict[str, int]:
    """The fields of an image's size, as far as it is known."""
    size = {"width": header.source.width, "height": header.source.height}
    return {name: value for name, value in size.items() if value is not None}


def frame_times(frame: FramePoses) -> dict[str, Any]:
    """The fields by which our own readers find a frame's time again."""
    return {"frame_index": frame.index, "pts": frame.pts, "seconds": seconds_value(frame.seconds)}


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
        self._spool = FrameSpool()

    def start(self, **root: Any) -> None:
        """Write the root fields that come first."""
        self.text(dumps(root)[:-1] + ',"annotations":[')

    def write(self, frame: FramePoses) -> None:
        self._spool.add(replace(frame, poses=()))
        for number, pose in enumerate(frame.poses):
            self.entry(self.annotation(frame, pose, number))

    def close(self, frames: int) -> None:
        self.text('\n],"images":[')
        self._begun = False
        for frame in self._spool:
            self.entry(self.image(frame.index, frames) | frame_times(frame))
        self.text("\n]}\n")

    def release(self) -> None:
        self._spool.close()

    @abstractmethod
    def annotation(self, frame: FramePoses, pose: Pose, number: int) -> dict[str, Any]:
        """The entry of the ``number``-th person (from 0) of a frame."""

    @abstractmethod
    def image(self, index: int, frames: int) -> dict[str, Any]:
        """The entry of a frame; ``frames`` is how many there are in all."""
