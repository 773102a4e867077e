"""Decoding beside the work on the frames before: in a thread of its own, a few frames ahead."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Self

import numpy as np

from ftpcli.files.stages import Stage, in_stage
from ftpcli.records import Frame
from ftpcli.video.reading import FrameSource

_LEAVING = 3.0  # seconds that a read may still take when nobody wants its frame any more


class ReadAhead:
    """Reads an entered source in a thread, which waits while ``most`` frames have not been taken.

    The same frames come out, and the same error after them. The source is closed by the thread that reads it.

    Args:
        look: called in that thread with each picture.
    """

    def __init__(
        self, reader: FrameSource, most: int, look: Callable[[np.ndarray], object] = lambda image: None
    ) -> None:
        self._reader, self._most, self._look = reader, most, look
        self.info = reader.info
        self.arrivals: dict[int, float] | None = None
        self._waiting: deque[Frame] = deque()
        self._change = threading.Condition()
        self._over = self._unwanted = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._read, name="ftp-read", daemon=True)

    @property
    def frame_name(self) -> Callable[[int], str] | None:
        return self._reader.frame_name

    @property
    def decoded(self) -> int:
        return self._reader.decoded

    @property
    def bad_packets(self) -> int:
        return self._reader.bad_packets

    @property
    def warnings(self) -> list[str]:
        return self._reader.warnings

    @property
    def expected(self) -> int | None:
        return self._reader.expected

    def __enter__(self) -> Self:
        return self

    def close(self) -> None:
        """Let go of the source. Harmless to repeat."""
        with self._change:
            self._unwanted = True
            self._change.notify_all()
        if self._thread.ident is None:
            self._reader.close()
        else:
            self._thread.join(_LEAVING)  # it closes the reader; one that hangs in a read ends with the process

    def _read(self) -> None:
        try:
            for frame in in_stage(Stage.DECODE, self._reader):
                self._look(frame.image)
                with self._change:
                    self._add(frame)
                    if self._unwanted:
                        break
                    self._change.notify_all()
                del frame  # a name for the newest frame would keep it alive until the next one replaces it
        except BaseException as error:  # belongs to whoever takes the frames
            self._error = error
        finally:
            self._reader.close()
            with self._change:
                self._over = True
                self._change.notify_all()

    def _add(self, frame: Frame) -> None:
        """To those that wait; called with the lock held."""
        self._change.wait_for(lambda: self._unwanted or len(self._waiting) < self._most)
        self._waiting.append(frame)

    def __iter__(self) -> Iterator[Frame]:
        self._thread.start()
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._over)
                if not self._waiting:
                    break
                frame = self._waiting.popleft()
                self._change.notify_all()
            yield frame
            del frame
        if self._error is not None:
            raise self._error
