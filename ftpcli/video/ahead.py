"""Decoding beside the work on the frames before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Self

import numpy as np

from ftpcli.files.ahead import Ahead
from ftpcli.files.stages import Stage, in_stage
from ftpcli.records import Frame
from ftpcli.video.reading import FrameSource, Live


class ReadAhead(Ahead[Frame]):
    """Reads an entered source in a thread, see :class:`ftpcli.files.ahead.Ahead`, which closes it, too.

    Args:
        look: called in that thread with each picture.
    """

    def __init__(
        self, reader: FrameSource, most: int, look: Callable[[np.ndarray], object] = lambda image: None
    ) -> None:
        self._reader, self._look = reader, look
        super().__init__(self._looked_at(), most, reader.close)
        self.info = reader.info

    @property
    def live(self) -> Live | None:
        return None

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

    def _looked_at(self) -> Iterator[Frame]:
        for frame in in_stage(Stage.DECODE, self._reader):
            self._look(frame.image)
            yield frame
            del frame
