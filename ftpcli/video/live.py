"""Sources that do not wait: cameras and streams. Frames that come faster than they are taken are passed over."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Self

from ftpcli.files.inputs import camera, is_network_address
from ftpcli.records import Frame, VideoInfo
from ftpcli.video.reading import VideoReader

_HELD_SECONDS = 1.0
_HELD_BYTES = 256 << 20
_LEAVING = 3.0  # seconds that a read may still take when nobody wants its frame any more


def is_live(path: str, info: VideoInfo) -> bool:
    """Whether a source goes on without an end: a camera, or an address that states no duration."""
    return camera(path) is not None or (is_network_address(path) and not info.duration)


class LiveReader:
    """Reads an entered VideoReader in a thread of its own, and holds a second of frames at most.

    Where they are not taken in time, the oldest is passed over and counted; indices go on, so that the gap shows.

    Attributes:
        arrivals: when each frame that was given came (``time.monotonic``), by index, until somebody takes it out.
    """

    expected = frame_name = None

    def __init__(self, reader: VideoReader) -> None:
        self._reader = reader
        self.info = reader.info
        size = 3 * self.info.width * self.info.height
        self._most = max(2, min(round(float(self.info.average_rate or 25) * _HELD_SECONDS), _HELD_BYTES // size))
        self._waiting: deque[tuple[Frame, float]] = deque()
        self._change = threading.Condition()
        self._over = self._unwanted = False
        self._error: BaseException | None = None
        self._passed = 0
        self.arrivals: dict[int, float] = {}
        self._thread = threading.Thread(target=self._read, name="ftp-live", daemon=True)

    @property
    def decoded(self) -> int:
        return self._reader.decoded

    @property
    def bad_packets(self) -> int:
        return self._reader.bad_packets

    @property
    def warnings(self) -> list[str]:
        passed = [f"{self._passed} frame(s) came faster than they could be annotated and were passed over"]
        return self._reader.warnings + (passed if self._passed else [])

    def __enter__(self) -> Self:
        return self

    def close(self) -> None:
        """Let go of the source. Harmless to repeat."""
        self._unwanted = True
        if self._thread.ident is None:
            self._reader.close()
        else:
            self._thread.join(_LEAVING)  # it closes the reader; one that hangs in a read ends with the process

    def _read(self) -> None:
        try:
            for frame in self._reader:
                if self._unwanted:
                    break
                with self._change:
                    if len(self._waiting) >= self._most:
                        self._waiting.popleft()
                        self._passed += 1
                    self._waiting.append((frame, time.monotonic()))
                    self._change.notify()
        except BaseException as error:  # belongs to whoever takes the frames
            self._error = error
        finally:
            self._reader.close()
            with self._change:
                self._over = True
                self._change.notify()

    def __iter__(self) -> Iterator[Frame]:
        self._thread.start()
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._over)
                if not self._waiting:
                    break
                frame, came = self._waiting.popleft()
            self.arrivals[frame.index] = came
            yield frame
        if self._error is not None:
            raise self._error
