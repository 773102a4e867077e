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

#: A cut changes both colours and places by more than this. In continuous shots of 155 clips both reached 0.1 from one
#: frame to the next and 0.23 over five frames; of frames of two different clips 99 % lie beyond it.
_DIFFERENCE = 0.3
#: Between shots that look alike it changes them (`_Look.change`) by at least so much, and each by so many times the
#: change that went on before or goes on after, to which a little is added: much in both, or very much in places, where
#: the scene is the same from elsewhere. ``samples/compare_cuts.py`` measures what that finds.
_ALIKE = ((0.1, np.array([2.5, 1.0])), (0.05, np.array([0.0, 3.0])))
_MORE = np.array([0.02, 0.05])
_FADES = 0.95  # a frame: how long change in the past counts
_UNKNOWN = np.array([0.05, 0.2])  # change that is assumed before a shot's first frame
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

    def change(self, other: Self) -> np.ndarray:
        """(2,) of 0 to 1. The first is small where both may be of one shot: the same colours, wherever they are
        (movement), or the same places light and dark, whatever their colours (light, exposure, fades). The second is
        that of places alone."""
        colours, places = float(np.abs(self.colours - other.colours).sum()) / 2, 1.0 - float(self.luma @ other.luma)
        return np.array([min(colours, places), places])


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
            change = np.zeros(2) if before is None else look.change(before)
            later = [look, *(one for _, one in held)]
            if before is not None and change[0] > _DIFFERENCE:
                back = min(_DIFFERENCE, change[0] / 2)
                cut = not any(one.change(before)[0] <= back for one in later[1:])
            else:
                coming = [one.change(other) for one, other in pairwise(later)]
                # A repeated picture says nothing of what goes on after it.
                coming = [one for one in coming if one[0] > 1e-6]
                usual = np.max([level, *coming], axis=0) + _MORE
                sudden = any(change[0] > least and (change > times * usual).all() for least, times in _ALIKE)
                cut = sudden and bool(coming)
                before, level = look, np.maximum(_FADES * level, change)
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
