"""Reads a stretch of a long video alone: where each frame lies is told by the packets, without decoding them."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ftpcli.errors import InputError
from ftpcli.records import Frame
from ftpcli.video.opening import choose_stream, fraction, longest_gap, open_container
from ftpcli.video.reading import VideoReader
from ftpcli.video.selection import Selection

_BACK = (0.0, 10.0, 60.0)  # seconds before the first wanted frame to seek to, if the attempt before came too late


class UnfitError(InputError):
    """A video of which a stretch alone cannot be read."""


def unfit(name: str, why: str) -> UnfitError:
    return UnfitError(f"{name}: cannot be split ({why}); annotate it without --split")


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """The frames that are wanted of a video.

    Attributes:
        index: among all frames of the video.
        pts: as the container has them; both rise.
    """

    index: array[int]
    pts: array[int]

    def __len__(self) -> int:
        return len(self.pts)

    def part(self, start: int, end: int | None = None) -> FrameTimes:
        return FrameTimes(self.index[start:end], self.pts[start:end])

    @classmethod
    def of(cls, name: str, selection: Selection) -> tuple[FrameTimes, int]:
        """The selected frames of a file, and how many frames are decoded to get them (8 bytes each are held).

        Raises:
            InputError: not every frame has a time of its own, so that frames can only be told apart by decoding all.
        """
        with open_container(name) as container:
            stream = choose_stream(container, name)
            tick, gap = fraction(stream.time_base), longest_gap(container)
            times = array("q")
            for packet in container.demux(stream):
                if packet.size and not packet.is_discard:
                    if packet.pts is None or packet.is_corrupt or tick is None:
                        raise unfit(name, "frames without a time, or damaged packets")
                    times.append(packet.pts)
        rising = np.sort(np.frombuffer(times, np.int64)) if times else np.zeros(0, np.int64)
        steps = np.diff(rising)
        if not len(rising) or tick is None or (steps <= 0).any() or (gap and (steps * tick > gap).any()):
            raise unfit(name, "no times, or several frames with the same one")
        found, decoded = cls(array("q"), array("q")), 0
        for index, pts in enumerate(map(int, rising)):
            seconds = float(pts * tick)
            if selection.is_over(seconds):
                break
            decoded += 1
            if selection.takes(index, seconds):
                found.index.append(index)
                found.pts.append(pts)
        selection.check_not_empty()
        return found, decoded


class RangeReader(VideoReader):
    """Gives just the frames that are ``wanted``, decoded from the last point before them where decoding can begin.

    Their pictures are those of a reader that decodes everything.

    Raises:
        InputError: the frames that come are not these, or damage was met.
    """

    def __init__(self, path: str | os.PathLike[str], wanted: FrameTimes, *, rotate: int | None = None) -> None:
        super().__init__(path, rotate=rotate)
        self.wanted = wanted

    def __iter__(self) -> Iterator[Frame]:
        assert self._container is not None
        first, tick = self.wanted.pts[0], self.info.time_base
        for back in _BACK:
            self._container.seek(first - round(back / tick), stream=self._stream)
            pictures = self._decode(self._container, self._stream)
            picture = next(pictures, None)
            if picture is not None and picture.pts is not None and picture.pts <= first:
                break
        wanted = zip(self.wanted.index, self.wanted.pts, strict=True)
        index, pts = next(wanted)
        while picture is not None:
            if picture.pts is None or picture.pts > pts:
                break
            if picture.pts == pts:
                if picture.is_corrupt or (picture.width, picture.height) != self._size:
                    raise unfit(self._name, f"frame {index} is damaged, or of another size")
                yield Frame(index, pts, float(pts * tick), self._convert(picture))
                self.decoded += 1
                index, pts = next(wanted, (-1, -1))
                if index < 0:
                    break
            picture = next(pictures, None)
        if index >= 0 or self.bad_packets:
            raise unfit(self._name, f"frame {index} is not where its packet says" if index >= 0 else "damaged packets")
