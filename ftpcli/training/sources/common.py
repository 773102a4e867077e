"""What the sources share: the protocol, cached pictures, boxes from joints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from ftpcli.datasets.cutouts import Lender
from ftpcli.errors import InputError
from ftpcli.training.augment import Example

#: Joints that a teacher made weigh this much beside human labels of weight 1.
PSEUDO_WEIGHT = 0.5
#: Decoded pictures are kept up to this many bytes a source; beyond it they are decoded each time.
CACHE_BYTES = 6 * 1024**3


class Source(Protocol):
    """Examples by number.

    Attributes:
        groups: each example's origin, for figures per source.
        lenders: outlined people, to be pasted over others.
    """

    name: str
    groups: list[str]
    lenders: Sequence[Lender] = ()

    def __len__(self) -> int: ...

    def example(self, index: int, frames: int) -> Example: ...


class ImageCache:
    """Decoded pictures by path, kept while they fit."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._images: dict[Path, np.ndarray] = {}
        self._room = limit

    def read(self, path: Path) -> np.ndarray:
        """(H, W, 3) uint8 RGB; raises InputError where the file is no picture."""
        if path in self._images:
            return self._images[path]
        content = np.fromfile(path, np.uint8) if path.is_file() else None
        image = cv2.imdecode(content, cv2.IMREAD_COLOR_RGB) if content is not None and content.size else None
        if image is None:
            raise InputError(f"{path}: picture missing or unreadable")
        if image.nbytes <= self._room:
            self._room -= image.nbytes
            self._images[path] = image
        return image


def joints_box(points: np.ndarray, width: int, height: int, margin: float = 0.1) -> np.ndarray:
    """(4,) xyxy: the extent of (n, 2) joints, grown by ``margin`` of its size a side, clipped to the picture."""
    low, high = points.min(axis=0), points.max(axis=0)
    grow = (high - low) * margin
    low, high = np.maximum(low - grow, 0), np.minimum(high + grow, [width, height])
    return np.concatenate([low, np.maximum(high, low + 1)])
