"""Reading single pictures, and blurring them for robustness figures."""

from __future__ import annotations

import zlib
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from ftpcli.files.pictures import read_picture
from ftpcli.records import Frame


class Pictures:
    """Reads pictures as frames and keeps the last few, since windows overlap.

    Args:
        blur: longest motion blur in pixels, 0 for none; see `blurred`.
        keep: how many pictures are held.
    """

    def __init__(self, blur: int = 0, keep: int = 8) -> None:
        self.blur = blur
        self.read = lru_cache(maxsize=keep)(self._read)

    def _read(self, path: Path, index: int, size: tuple[int, int] | None = None) -> Frame:
        """The picture as frame ``index``; ``size`` and errors as for `read_picture`."""
        image = read_picture(path, size)
        return Frame(index, index, float(index), blurred(image, self.blur, f"{path.parent.name}/{path.name}"))


def blurred(image: np.ndarray, longest: int, name: str) -> np.ndarray:
    """The picture under a straight motion blur of its own: direction and length (0 to ``longest`` pixels) by chance.

    The chance hangs on ``name`` alone, so every run sees the same pictures, and each frame of a video is blurred
    otherwise, as cameras and limbs do it.
    """
    if longest <= 0:
        return image
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    angle, length = float(rng.uniform(0, 180)), round(float(rng.uniform(0, longest)))
    return cv2.filter2D(image, -1, motion_kernel(angle, length))


def motion_kernel(angle: float, length: int) -> np.ndarray:
    """(length, length) float32 kernel of a straight camera motion, degrees and pixels; sums to 1."""
    length = max(1, length) | 1
    kernel = np.zeros((length, length), np.float32)
    middle = length // 2
    reach = np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))]) * middle
    start, end = np.round(middle - reach).astype(int), np.round(middle + reach).astype(int)
    cv2.line(kernel, (int(start[0]), int(start[1])), (int(end[0]), int(end[1])), 1.0)
    return kernel / kernel.sum()
