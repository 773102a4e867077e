"""Sources that do not wait: cameras and streams. Frames that come faster than they are taken are passed over."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

import numpy as np

from ftpcli.device import is_accelerator
from ftpcli.errors import counted
from ftpcli.files.inputs import camera, can_reread, is_network_address
from ftpcli.records import Frame, VideoInfo
from ftpcli.video.ahead import ReadAhead
from ftpcli.video.images import ImageFolderReader
from ftpcli.video.reading import FrameSource, VideoReader

_HELD_SECONDS = 1.0
_HELD_BYTES = 256 << 20


def is_live(path: str, info: VideoInfo) -> bool:
    """Whether a source goes on without an end: a camera, or an address that states no duration."""
    return camera(path) is not None or (is_network_address(path) and not info.duration)


def in_thread(
    frames: FrameSource, path: str, device: str, ahead: int, look: Callable[[np.ndarray], object]
) -> FrameSource:
    """A source that does not wait, read in a thread of its own. So is a file beside an accelerator, ``ahead`` frames
    ahead (see :class:`ReadAhead`); not a pipe, which may keep the thread waiting for ever."""
    if isinstance(frames, VideoReader) and is_live(path, frames.info):
        return LiveReader(frames)
    if is_accelerator(device) and type(frames) in (VideoReader, ImageFolderReader) and can_reread(path):
        return ReadAhead(frames, ahead, look)
    return frames


class LiveReader(ReadAhead):
    """Reads an entered VideoReader in a thread of its own, and holds a second of frames at most.

    Where they are not taken in time, the oldest is passed over and counted; indices go on, so that the gap shows.

    Attributes:
        arrivals: when each frame that was not passed over came (``time.monotonic``), by index, until somebody takes it
            out.
    """

    def __init__(self, reader: VideoReader) -> None:
        info = reader.info
        size = 3 * info.width * info.height
        most = max(2, min(round(float(info.average_rate or 25) * _HELD_SECONDS), _HELD_BYTES // size))
        super().__init__(reader, most)
        self._passed = 0
        self.arrivals: dict[int, float] = {}

    @property
    def live(self) -> Self:
        return self

    @property
    def warnings(self) -> list[str]:
        passed = f"{counted(self._passed, 'frame')} passed over, since frames came faster than they could be annotated"
        return self._reader.warnings + ([passed] if self._passed else [])

    @property
    def expected(self) -> None:
        return None

    def _add(self, frame: Frame) -> None:
        if len(self._waiting) >= self._most:
            del self.arrivals[self._waiting.popleft().index]
            self._passed += 1
        self.arrivals[frame.index] = time.monotonic()
        self._waiting.append(frame)
