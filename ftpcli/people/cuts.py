"""Camera cuts: where one shot ends and the next begins, so that nothing is taken across."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple, Self

import cv2
import numpy as np

from ftpcli.records import TrackedFrame

#: A cut changes both measures of `_Look.change` by more than this. In continuous shots of 155 clips both reached 0.1
#: from one frame to the next and 0.23 over five frames; of frames of two different clips 99 % lie beyond it.
_DIFFERENCE = 0.3
#: Between shots that look alike it changes them by at least this much, and by so many times the change that went on
#: before or goes on after, to which a little is added. ``samples/compare_cuts.py`` measures what that finds.
_ALIKE, _TIMES, _MORE = 0.1, 2.5, 0.02
_FADES = 0.95  # a frame: how long change in the past counts
_UNKNOWN = 0.05  # change that is assumed before a shot's first frame
_SIDE = 32  # pixels, longer side of the thumbnails that are compared
_FLASH = 2  # frames: unlike pictures for so short a time are a flash, not a shot


def thumbnail(image: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8, whose longer side is 32 pixels, of a picture of any size, (H, W, 3) uint8 RGB; a fraction of a
    millisecond, because most pixels are passed over."""
    step = max(1, min(image.shape[:2]) // (3 * _SIDE))
    image = np.ascontiguousarray(image[::step, ::step])
    height, width = image.shape[:2]
    scale = _SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


class _Look(NamedTuple):
    """What is compared of a picture."""

    colours: np.ndarray  # (216,) share of each of 6 x 6 x 6 colours
    luma: np.ndarray  # (n,) float32, mean 0 and length 1

    @classmethod
    def of(cls, small: np.ndarray) -> Self:
        """Of a thumbnail."""
        pixels = small.reshape(-1, 3)
        colours = np.bincount((pixels // 43) @ np.array([36, 6, 1]), minlength=216) / len(pixels)
        luma = pixels.mean(axis=1, dtype=np.float32)
        luma -= luma.mean()
        return cls(colours, luma / max(float(np.linalg.norm(luma)), 1e-6))

    def change(self, other: Self) -> float:
        """0 to 1; small where both may be of one shot: the same colours, wherever they are (movement), or the same
        places light and dark, whatever their colours (light, exposure, fades)."""
        colours = float(np.abs(self.colours - other.colours).sum()) / 2
        return min(colours, 1.0 - float(self.luma @ other.luma))


class Shots:
    """Numbers the shots of a video (``TrackedFrame.shot``): a frame unlike the one before begins a new shot.

    A sudden change between frames that differ little from those before and after is a cut even where the pictures are
    much alike. Frames come out up to two late, because only what follows a flash tells it from a shot: pictures like
    those before. Fades and dissolves change little from frame to frame and are not taken for cuts.

    Args:
        most: the most frames to hold.
    """

    def __init__(self, most: int) -> None:
        self._most = min(_FLASH, most)

    def __call__(self, frames: Iterable[TrackedFrame]) -> Iterator[TrackedFrame]:
        """Yields every frame once, in order, with the number of cuts before it."""
        shot, level = 0, _UNKNOWN
        before: _Look | None = None
        held: deque[tuple[TrackedFrame, _Look]] = deque()

        def first() -> TrackedFrame:
            nonlocal shot, before, level
            tracked, look = held.popleft()
            change = 0.0 if before is None else look.change(before)
            later = [look, *(one for _, one in held)]
            if change > _DIFFERENCE:
                cut = before is not None and not any(one.change(before) <= _DIFFERENCE for one in later[1:])
            else:
                coming = [one.change(other) for one, other in pairwise(later)]
                # A repeated picture says nothing of what goes on after it.
                known = len(coming) == _FLASH and min(coming) > 1e-6
                cut = known and change > max(_ALIKE, _TIMES * (max(level, *coming) + _MORE))
                before, level = look, max(_FADES * level, change)
            if cut:
                shot, before, level = shot + 1, look, _UNKNOWN
            return replace(tracked, shot=shot)

        for tracked in frames:
            small = thumbnail(tracked.frame.image) if tracked.thumbnail is None else tracked.thumbnail
            held.append((tracked, _Look.of(small)))
            del tracked  # a name for the newest frame would keep it alive until the next one replaces it
            if len(held) > self._most:
                yield first()
        while held:
            yield first()
